package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fibership/fibership/test/bench/stage"
)

// doom is a release that never serves.
type doom struct {
	name     string
	web      stage.Web
	evidence string
	// seen says whether the evidence is there.
	seen func(context.Context, *place) (bool, error)
}

// dooms are what is measured. The image that is not there is a second one, of
// a sidecar: a missing image of the release's own is refused before anything
// is written.
func (b *bench) dooms() []doom {
	return []doom{
		{
			name: "crash loop", evidence: "the second crash, as the pod's status tells it",
			web: stage.Web{Env: "{name: CRASH_AFTER, value: 0s}"},
			seen: func(ctx context.Context, p *place) (bool, error) {
				return p.status(ctx, func(c corev1.ContainerStatus) bool {
					again := c.RestartCount >= 1 && c.State.Terminated != nil
					return again || c.RestartCount >= 2 || c.RestartCount == 1 && c.State.Waiting != nil && c.State.Waiting.Reason == "CrashLoopBackOff"
				})
			},
		},
		{
			name: "image not found", evidence: "the kubelet's word, as event or in the pod's status",
			web: stage.Web{Beside: b.Host + "/bench/nothing@sha256:" + strings.Repeat("0", 64)},
			seen: func(ctx context.Context, p *place) (bool, error) {
				is, err := p.status(ctx, func(c corev1.ContainerStatus) bool {
					return c.State.Waiting != nil && strings.Contains(c.State.Waiting.Message, "not found")
				})
				if is || err != nil {
					return is, err
				}
				return p.event(ctx, "Failed", "not found")
			},
		},
		{
			name: "readiness fails (404)", evidence: "the first failed probe is told",
			web:  stage.Web{Probe: "/status?code=404"},
			seen: func(ctx context.Context, p *place) (bool, error) { return p.event(ctx, "Unhealthy", "404") },
		},
	}
}

// told is what one tool made of a doomed release.
type told struct {
	evidence time.Duration // after the call
	verdict  time.Duration // after the evidence; the tool's deadline where late
	late     bool          // it told nothing before its deadline
	back     time.Duration // after the call: the command returns, and what was undone is undone
}

func (b *bench) doomed(ctx context.Context) (string, error) {
	var text strings.Builder
	fmt.Fprintf(&text, "### Until a doomed release is told\n\nOnce each, on a service that serves: how long after the evidence the tool tells that the release does not serve. Tools that wait for a deadline are given %v; by themselves they wait 10 (`kubectl`) and 5 minutes (`helm`). `deploy-staging` also says why, and undoes the release by itself.\n\n", *deadline)
	text.WriteString("| release | evidence |")
	for _, t := range tools {
		text.WriteString(" " + t.name + " |")
	}
	text.WriteString("\n|---|---|" + strings.Repeat("---:|", len(tools)) + "\n")
	for _, d := range b.dooms() {
		fmt.Fprintf(&text, "| %s | %s |", d.name, d.evidence)
		if err := b.within(ctx, func(p *place) error {
			if err := p.release(ctx, 0); err != nil {
				return fmt.Errorf("prepare: %w", err)
			}
			t, err := p.doom(ctx, d)
			switch {
			case err != nil:
				return fmt.Errorf("%s: %w", d.name, err)
			case t.late:
				fmt.Fprintf(&text, " > %.0f s |", deadline.Seconds())
			case p.tool.name == tools[0].name:
				fmt.Fprintf(&text, " %.2f s; undone %.2f s after the call |", t.verdict.Seconds(), t.back.Seconds())
			default:
				fmt.Fprintf(&text, " %.2f s |", t.verdict.Seconds())
			}
			fmt.Fprintf(os.Stderr, "%s: %s: %+v\n", d.name, p.tool.name, t)
			return nil
		}); err != nil {
			return "", err
		}
		text.WriteString("\n")
	}
	return text.String(), nil
}

func (p *place) doom(ctx context.Context, d doom) (told, error) {
	web := d.web
	web.Image, web.Greet = p.Images[1], "doomed"
	if err := p.Write(web.Manifests()); err != nil {
		return told{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, *deadline+patience)
	defer cancel()
	began := time.Now()
	seen := make(chan error, 1)
	var evidence time.Duration
	go func() {
		err := stage.Every(ctx, func(ctx context.Context) (bool, error) { return d.seen(ctx, p) })
		evidence = time.Since(began)
		seen <- err
	}()
	step, err := p.tool.deploy(ctx, p, p.Images[1], *deadline)
	t := told{back: time.Since(began)}
	if !errors.Is(err, stage.ErrExit) {
		return t, fmt.Errorf("it did not fail: %w", err)
	}
	select {
	case missed := <-seen:
		if missed != nil {
			return t, fmt.Errorf("wait for %s: %w", d.evidence, missed)
		}
	case <-time.After(10 * time.Second):
		return t, fmt.Errorf("there never was %s: %w", d.evidence, err)
	}
	t.evidence = evidence
	verdict := t.back
	if heard, err := step.At("; doomed: "); err == nil { // only ours says so before it ends
		verdict = heard.Sub(began)
	}
	// We look 40 times a second; whoever watches may know before we do.
	t.verdict, t.late = max(0, verdict-evidence), verdict > *deadline
	return t, nil
}

func (p *place) status(ctx context.Context, ok func(corev1.ContainerStatus) bool) (bool, error) {
	pods, err := p.Client.Kube.CoreV1().Pods(p.Namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return false, err
	}
	for _, pod := range pods.Items {
		for _, c := range pod.Status.ContainerStatuses {
			if ok(c) {
				return true, nil
			}
		}
	}
	return false, nil
}

func (p *place) event(ctx context.Context, reason, words string) (bool, error) {
	events, err := p.Client.Kube.CoreV1().Events(p.Namespace).List(ctx, metav1.ListOptions{FieldSelector: "reason=" + reason})
	if err != nil {
		return false, err
	}
	for _, e := range events.Items {
		if strings.Contains(e.Message, words) {
			return true, nil
		}
	}
	return false, nil
}
