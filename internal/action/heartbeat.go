package action

import (
	"sync"
	"time"
)

// silence is how long the log may say nothing. The contract promises a sign of
// life every 15 s; waits that know more than this say so themselves, earlier.
const silence = 14 * time.Second

// beat says that the run is still there whenever nothing else was said for so
// long, until it is stopped.
func (c *console) beat(quiet time.Duration) (stop func()) {
	c.mu.Lock()
	c.heard = time.Now()
	c.mu.Unlock()
	ended, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(quiet / 14)
		defer tick.Stop()
		for {
			select {
			case <-ended:
				return
			case <-tick.C:
				c.stillThere(quiet)
			}
		}
	}()
	return sync.OnceFunc(func() {
		close(ended)
		<-done
	})
}

func (c *console) stillThere(quiet time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.heard) < quiet {
		return
	}
	at := c.at
	if at == "" {
		at = "the beginning"
		c.since = c.heard
	}
	c.at = at
	c.line("still at: " + shorten(at, 120) + ", " + time.Since(c.since).Round(time.Second).String())
}

// reached notes how far the run has come.
func (c *console) reached(at string) { c.at, c.since = at, time.Now() }
