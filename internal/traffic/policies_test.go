package traffic

import (
	"testing"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestShuts_knowsWhatKeepsRequestsFromWarmPods(t *testing.T) {
	t.Parallel()
	policy := func(name string, of map[string]string, types ...networkingv1.PolicyType) networkingv1.NetworkPolicy {
		return networkingv1.NetworkPolicy{
			ObjectMeta: metav1.ObjectMeta{Name: name},
			Spec:       networkingv1.NetworkPolicySpec{PodSelector: metav1.LabelSelector{MatchLabels: of}, PolicyTypes: types},
		}
	}
	web := map[string]string{"app": "web"}
	denied, let := policy("deny-all", nil), policy("allow-web", web)
	for name, c := range map[string]struct {
		policies []networkingv1.NetworkPolicy
		want     string
	}{
		"no policy":                     {nil, ""},
		"the live pods alone":           {[]networkingv1.NetworkPolicy{let}, ""}, // the warm ones are open
		"all denied, the live ones let": {[]networkingv1.NetworkPolicy{denied, let}, "allow-web"},
		"in any order":                  {[]networkingv1.NetworkPolicy{let, denied}, "allow-web"},
		"the same for all":              {[]networkingv1.NetworkPolicy{denied, policy("allow-all", nil)}, ""},
		"of what goes out":              {[]networkingv1.NetworkPolicy{policy("out", nil, networkingv1.PolicyTypeEgress), let}, ""},
		"the warm ones let, too":        {[]networkingv1.NetworkPolicy{denied, policy("allow-warm", map[string]string{WarmLabel: "warm-1"})}, ""},
		"of other pods":                 {[]networkingv1.NetworkPolicy{denied, policy("allow-db", map[string]string{"app": "db"})}, ""},
	} {
		if got := shuts(c.policies, web, warmLabels("web", "warm-1")); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}
