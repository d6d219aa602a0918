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

const (
	attempt  = 20 * time.Second // for one request: a connection that died silently must not eat the time of a whole rollout
	patience = 40 * time.Second // for all attempts together
)

// retry makes one request until it has a final answer. The cluster's client
// repeats by itself what may be sent twice blindly; what is left are writes
// whose answer was lost. The request must therefore recognise its own work.
func retry(ctx context.Context, request func(context.Context) error) error {
	pause := wait.Backoff{Duration: 100 * time.Millisecond, Factor: 2, Jitter: 0.2, Steps: 8}
	for begun := time.Now(); ; {
		try, cancel := context.WithTimeout(ctx, attempt)
		err := request(try)
		cancel()
		if err == nil || !passing(err) || pause.Steps <= 0 || time.Since(begun) > patience {
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
