package action_test

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fibership/fibership/internal/action"
)

func TestExec_saysThatItIsStillThereAndWhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := action.New("sample", action.Deploy, "takes its time")
		token := s.Secret("token", "a secret")
		var log bytes.Buffer
		exit := action.Exec(t.Context(), s, func(_ context.Context, r *action.Run) error {
			time.Sleep(20 * time.Second)
			end := r.Group("Serve")
			time.Sleep(20 * time.Second)
			r.Linef("steering with %s", token.Reveal())
			time.Sleep(45 * time.Second)
			end()
			for range 10 { // who speaks is not interrupted
				r.Linef("quick")
				time.Sleep(10 * time.Second)
			}
			return nil
		}, []string{"INPUT_TOKEN=hunter2secret", "GITHUB_ACTIONS=true"}, nil, &log, &log)
		var got []string
		for line := range strings.Lines(log.String()) {
			if strings.Contains(line, "still at") {
				got = append(got, strings.TrimSpace(line))
			}
		}
		want := []string{
			"still at: the beginning, 14s", "still at: Serve, 14s",
			"still at: steering with ***, 14s", "still at: steering with ***, 28s", "still at: steering with ***, 42s",
		}
		if exit != 0 || strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("exit %d\n%s", exit, log.String())
		}
	})
}
