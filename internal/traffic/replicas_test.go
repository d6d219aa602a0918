package traffic

import "testing"

func TestBeside_comesNearestToTheWeightAndIsNeverNone(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		size   int32
		weight int
		want   int32
	}{
		{10, 50, 10}, {4, 20, 1}, {4, 50, 4}, {9, 10, 1}, {100, 1, 1}, {1, 10, 1}, {3, 75, 9}, {0, 50, 1},
	} {
		if got := beside(c.size, c.weight); got != c.want {
			t.Errorf("%d%% beside %d pods: %d, want %d", c.weight, c.size, got, c.want)
		}
	}
}

func TestSuffixed_staysADNSLabel(t *testing.T) {
	t.Parallel()
	long := "a-service-with-a-name-that-is-as-long-as-a-name-may-be-and-no-more"
	if got := suffixed(long, "-canary"); len(got) != 63 || got[56:] != "-canary" {
		t.Errorf("%q has %d characters", got, len(got))
	}
	if got := suffixed("orders", "-canary"); got != "orders-canary" {
		t.Errorf("got %q", got)
	}
}
