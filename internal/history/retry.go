package history

import (
	"context"
	"errors"
	"io"
	"net"
	"syscall"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/apimachinery/pkg/util/wait"
)

// attempt bounds one request: a connection that died silently must not eat the
// time of a whole rollout.
const attempt = 30 * time.Second

// backoff rides out the change of an API server or a load balancer, about 13 s.
var backoff = wait.Backoff{Duration: 100 * time.Millisecond, Factor: 2, Jitter: 0.2, Steps: 7}

// retry does one request until it has a final answer. The request must be one
// that recognises its own work: the answer may be lost though the work was done.
func retry(ctx context.Context, request func(context.Context) error) error {
	pause := backoff
	for {
		try, cancel := context.WithTimeout(ctx, attempt)
		err := request(try)
		cancel()
		if err == nil || !passing(err) || pause.Steps <= 0 {
			return err
		}
		timer := time.NewTimer(pause.Step())
		select {
		case <-ctx.Done():
			timer.Stop()
			return errors.Join(err, context.Cause(ctx))
		case <-timer.C:
		}
	}
}

// passing says whether an error is one of the road or of the moment, so that
// the same request may have, or get, another answer.
func passing(err error) bool {
	if errors.Is(err, context.Canceled) {
		return false
	}
	var timeout net.Error
	return utilnet.IsConnectionReset(err) || utilnet.IsConnectionRefused(err) || utilnet.IsProbableEOF(err) ||
		utilnet.IsHTTP2ConnectionLost(err) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.EPIPE) ||
		errors.As(err, &timeout) && timeout.Timeout() ||
		apierrors.IsServerTimeout(err) || apierrors.IsTimeout(err) || apierrors.IsTooManyRequests(err) ||
		apierrors.IsServiceUnavailable(err) || apierrors.IsInternalError(err) || apierrors.IsUnexpectedServerError(err)
}
