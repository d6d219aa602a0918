//go:build linux

package provision

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"
)

// heartbeat is how often a long step tells that it is alive.
const heartbeat = 10 * time.Second

// during runs a step and prints its name, a line on every heartbeat and the time it took. The step may say how far it
// is; the last word is printed with each heartbeat.
func during(ctx context.Context, progress io.Writer, what string, step func(ctx context.Context, say func(string)) error) error {
	started := time.Now()
	fmt.Fprintf(progress, "%s …\n", what)
	var mu sync.Mutex
	var news string
	ended := make(chan error, 1)
	go func() {
		ended <- step(ctx, func(word string) {
			mu.Lock()
			defer mu.Unlock()
			news = word
		})
	}()
	tick := time.NewTicker(heartbeat)
	defer tick.Stop()
	for {
		select {
		case err := <-ended:
			if err == nil {
				fmt.Fprintf(progress, "%s: done in %s\n", what, time.Since(started).Round(100*time.Millisecond))
			}
			return err
		case <-tick.C:
			mu.Lock()
			fmt.Fprintf(progress, "%s: %s %s\n", what, time.Since(started).Round(time.Second), news)
			mu.Unlock()
		}
	}
}
