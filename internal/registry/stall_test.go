package registry

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// sticky is a registry that takes a hundred bytes of the nth request that has
// any to give, and then nothing, while the connection stays open.
func sticky(f *flaky, at int) roundTrip {
	bodies := 0
	return func(r *http.Request) (*http.Response, error) {
		if r.Body != nil && r.Body != http.NoBody {
			f.mu.Lock()
			bodies++
			stuck := bodies == at
			f.mu.Unlock()
			if stuck {
				defer r.Body.Close() // as a RoundTripper must
				_, _ = io.CopyN(io.Discard, r.Body, 100)
				<-r.Context().Done()
				return nil, r.Context().Err()
			}
		}
		return f.RoundTrip(r)
	}
}

func TestPush_beginsAnewWhereAnUploadStalls(t *testing.T) {
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	for at := 1; at <= 3; at++ { // each of the layers, and the configuration
		synctest.Test(t, func(t *testing.T) {
			img, tag := testImage(t)
			f := newFlaky(0, 0, nil)
			c := New(Options{Patience: 2 * time.Minute})
			c.network = newNetwork(sticky(f, at))
			began := time.Now()
			if err := push(t, c, img, tag); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(began); took < mostStill || took > mostStill+10*time.Second {
				t.Errorf("body %d: it took %s", at, took)
			}
			if err := validate.Image(f.image(t, tag)); err != nil {
				t.Error(err)
			}
		})
	}
}

// slowly gives a byte now and then, and at last nothing until its request ends.
type slowly struct {
	ctx   context.Context //nolint:containedctx // that of the request
	bytes int
	every time.Duration
}

func (s *slowly) Read(b []byte) (int, error) {
	if s.bytes == 0 {
		<-s.ctx.Done()
		return 0, s.ctx.Err()
	}
	s.bytes--
	time.Sleep(s.every)
	b[0] = 'x'
	return 1, nil
}

func (s *slowly) Close() error { return nil }

func TestStaller_countsOnlyWhatTheOtherSideTakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		taken := 0
		var ctx context.Context // of the request on its way
		s := &staller{roundTrip(func(r *http.Request) (*http.Response, error) {
			body, err := io.ReadAll(r.Body)
			taken, ctx = len(body), r.Context()
			return &http.Response{StatusCode: http.StatusOK, Body: &slowly{r.Context(), 3, mostStill - time.Second}}, err
		})}
		// Our own bytes are slow to come: that is no stall.
		body := io.MultiReader(io.LimitReader(&slowly{t.Context(), 3, 3 * mostStill}, 3), strings.NewReader("y"))
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "http://127.0.0.1/v2/a", body)
		if err != nil {
			t.Fatal(err)
		}
		response, err := s.RoundTrip(request)
		if err != nil || taken != 4 || ctx.Err() != nil {
			t.Fatalf("%d bytes taken: %v, %v", taken, err, context.Cause(ctx))
		}
		time.Sleep(2 * mostStill) // nor is it that we do not read at once
		if ctx.Err() != nil {
			t.Fatal(context.Cause(ctx))
		}
		got, err := io.ReadAll(response.Body)
		if string(got) != "xxx" || !errors.Is(err, errStalled) {
			t.Errorf("got %q, %v; want what came, and then a stall", got, err)
		}
		if !isTrouble(err) {
			t.Errorf("%v is not ridden out", err)
		}
		if err := response.Body.Close(); err != nil {
			t.Error(err)
		}
	})
}
