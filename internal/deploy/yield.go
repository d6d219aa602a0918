package deploy

import (
	"context"
	"errors"
	"fmt"

	"github.com/fibership/fibership/internal/history"
)

// Asked is why a deed ended that gave way to a rollback.
type Asked struct {
	Service, Environment string
	By                   string // who wants to roll back
	Why                  string // may be empty
}

func (a *Asked) Error() string {
	text := fmt.Sprintf("rollback by %s asks for the environment (%s in %s)", a.By, a.Service, a.Environment)
	if a.Why != "" {
		text += ": " + a.Why
	}
	return text
}

// Next is the next step to take.
func (a *Asked) Next() string {
	return "look why it was rolled back; where this release is wanted nevertheless, run this again afterwards"
}

// While is the context for what is done in the session: it ends, with the
// cause, when the lock is lost, since then nothing can be written any more, and
// when a rollback asks for the environment before Pass. The function that it
// comes with ends it too, and is called before Close.
func (s *Session) While(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	s.passed = false // settling passes by itself
	go s.heed(ctx, cancel)
	return ctx, func() { cancel(context.Canceled) }
}

func (s *Session) heed(ctx context.Context, cancel context.CancelCauseFunc) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.lock.Lost():
			err := s.lock.Check(ctx)
			s.Log.Linef("%v: nothing more is written", err)
			cancel(err)
			return
		case ask := <-s.lock.Asked():
			s.giveWay(cancel, &Asked{Service: s.Service, Environment: s.Environment, By: ask.By, Why: ask.Why})
		}
	}
}

func (s *Session) giveWay(cancel context.CancelCauseFunc, asked *Asked) {
	s.passing.Lock()
	defer s.passing.Unlock()
	if s.passed || s.firm {
		s.Log.Linef("%v: it has its turn next, this run ends as it would have", asked)
		return
	}
	s.Log.Linef("%v: giving way", asked)
	cancel(asked)
}

// Pass is the point of no return: from here on no rollback is given way to.
// Where one was already, that is the error.
func (s *Session) Pass(ctx context.Context) error {
	s.passing.Lock()
	defer s.passing.Unlock()
	if gaveWay(ctx) {
		return context.Cause(ctx)
	}
	s.passed = true
	return nil
}

// gaveWay says whether a session's context ended because a rollback asked.
func gaveWay(ctx context.Context) bool { return errors.As(context.Cause(ctx), new(*Asked)) }

// Because is err, or what ended the session's context by itself and so was the
// cause of it: whoever is cut short tells of a context, not of its cause.
func Because(ctx context.Context, err error) error {
	cause := context.Cause(ctx)
	if err == nil || errors.Is(err, cause) || !byItself(ctx) {
		return err
	}
	return cause
}

// byItself says whether a session's context ended for a reason of its own, and
// not by a cancel, after which the runner kills soon.
func byItself(ctx context.Context) bool {
	return gaveWay(ctx) || errors.Is(context.Cause(ctx), history.ErrLost)
}

// ousted says whether the session's own lock went to somebody else: then
// nothing may be written any more, not even an undo. The context of services
// that are promoted together ends with the lock of any.
func (s *Session) ousted() bool {
	select {
	case <-s.lock.Lost():
		return true
	default:
		return false
	}
}
