package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// deployments is the part of GitHub that keeps them: there is no other here.
type deployments struct {
	mu   sync.Mutex
	made int
	told []string // "1 deploy staging", "1 success"
}

func (d *deployments) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var body struct{ State, Task, Environment string }
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil || r.Header.Get("Authorization") != "Bearer ghs_planted" {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	w.WriteHeader(http.StatusCreated)
	const all = "/repos/acme/web/deployments"
	if r.URL.Path == all {
		d.made++
		d.told = append(d.told, fmt.Sprint(d.made, " ", body.Task, " ", body.Environment))
		_, _ = fmt.Fprintf(w, `{"id": %d}`, d.made)
		return
	}
	id := strings.TrimSuffix(strings.TrimPrefix(r.URL.Path, all+"/"), "/statuses")
	d.told = append(d.told, id+" "+body.State)
	_, _ = fmt.Fprint(w, `{}`)
}

func TestGitHub_isToldOfReleasesAndHowTheyEnd(t *testing.T) {
	p := newPlace(t)
	hub := &deployments{}
	server := httptest.NewServer(hub)
	t.Cleanup(server.Close)
	p.github = server.URL
	asked := map[string]string{"github-deployment": "true", "github-token": "ghs_planted"}
	in := func(more map[string]string) map[string]string {
		for name, value := range asked {
			more[name] = value
		}
		return more
	}
	one, two, three := p.image("1"), p.image("2"), p.image("3")
	p.run(0, "deploy-staging", in(map[string]string{"image": one}))
	p.run(0, "deploy-staging", in(map[string]string{"image": one})) // unchanged: nothing is told
	p.run(1, "deploy-staging", in(map[string]string{"image": two, "smoke-tests": "GET / => 418"}))
	p.deploy(two, nil) // not asked for: nothing is told
	p.run(0, "rollback", in(map[string]string{"environment": "staging", "namespace": p.staging}))

	// The next run ends what a dead one could not, and tells so.
	killed, err := p.step("deploy-staging", in(map[string]string{"image": three, "env": "UNREADY=true"})).Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "a pod of version 3", func(context.Context) bool { return len(p.images(p.staging)) > 1 })
	if err := killed.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if _, err := killed.Wait(); err != nil {
		t.Fatal(err)
	}
	o := p.run(0, "rollback", in(map[string]string{"environment": "staging", "namespace": p.staging, "to": "live"}))
	for line := range strings.Lines(o.Log) {
		if strings.Contains(line, "ghs_planted") && !strings.HasPrefix(line, "::add-mask::") {
			t.Errorf("the log shows the token: %s", line)
		}
	}
	want := []string{
		"1 deploy staging", "1 in_progress", "1 success",
		"2 deploy staging", "2 in_progress", "2 failure",
		"3 rollback staging", "3 in_progress", "3 success",
		"4 deploy staging", "4 in_progress", "4 failure",
	}
	if !slices.Equal(hub.told, want) {
		t.Errorf("GitHub was told\n%q, want\n%q", hub.told, want)
	}
}
