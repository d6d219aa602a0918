package rollout

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/fibership/fibership/internal/cluster"
)

// Bounds of a dossier.
const (
	gatherTime = 5 * time.Second
	mostPods   = 3
	mostEvents = 12
	logLines   = 20
	logBytes   = 64 << 10 // of one container's log
	lineBytes  = 500
)

// gather writes the dossier of a workload that failed, while its pods are
// still there. It goes on when ctx has ended, for a few seconds: the evidence
// is gone afterwards. What hide knows is nowhere in it.
func gather(ctx context.Context, c *cluster.Client, v verdict, hide func(string) string) Dossier {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), gatherTime)
	defer cancel()
	w := &watched{Observed: v.Observed}
	var d Dossier
	pods := w.telling(v.Judgement)
	d.Pods = make([]PodEvidence, len(pods))
	var notes sync.Map // what could not be read; its keys
	var reading sync.WaitGroup
	for i, p := range pods {
		d.Pods[i] = podEvidence(p)
		for k := range d.Pods[i].Containers {
			e := &d.Pods[i].Containers[k]
			read := func(into *[]string, previous bool) {
				reading.Go(func() {
					lines, err := readLog(ctx, c, p, e.Name, previous)
					if err != nil {
						if !previous {
							e.Unread = true
						}
						notes.Store(fmt.Sprintf("the log of container %s of pod %s cannot be read: %s", e.Name, p.Name, short(err.Error())), nil)
						return
					}
					for i := range lines {
						lines[i] = hide(lines[i])
					}
					lines = scrubAll(lines) // before they are cut: half a secret is not recognised
					for i := range lines {
						lines[i] = cut(lines[i], lineBytes)
					}
					*into = lines
				})
			}
			if e.started {
				read(&e.Log, false)
			}
			if e.restarted {
				read(&e.Previous, true)
			}
		}
	}
	reading.Wait()
	notes.Range(func(note, _ any) bool {
		d.Notes = append(d.Notes, note.(string))
		return true
	})
	slices.Sort(d.Notes)
	d.Events = w.eventLines(pods)
	d.each(hide)
	d.Cause, d.Next = Explain(Evidence{Kind: v.object.Kind, Name: v.object.Name, Namespace: v.object.Namespace, Judgement: v.Judgement, Pods: d.Pods})
	return d
}

// telling picks the pods that say most: the one that the judgement names,
// then those that are not ready, the newest first.
func (w *watched) telling(j Judgement) []*corev1.Pod {
	var pods []*corev1.Pod
	for _, p := range w.mine() {
		if p.Name == j.Pod || (!isReady(p) && p.DeletionTimestamp == nil) {
			pods = append(pods, p)
		}
	}
	slices.SortStableFunc(pods, func(a, b *corev1.Pod) int {
		if (a.Name == j.Pod) != (b.Name == j.Pod) {
			if a.Name == j.Pod {
				return -1
			}
			return 1
		}
		return cmp.Or(b.CreationTimestamp.Compare(a.CreationTimestamp.Time), strings.Compare(a.Name, b.Name))
	})
	return pods[:min(len(pods), mostPods)]
}

// mine gives the pods that belong to the workload, directly or through a
// ReplicaSet of its own.
func (w *watched) mine() []*corev1.Pod {
	if w.Workload == nil {
		return nil
	}
	owners := map[string]bool{string(w.Workload.GetUID()): true}
	for _, rs := range w.ReplicaSets {
		for _, ref := range rs.OwnerReferences {
			if ref.UID == w.Workload.GetUID() {
				owners[string(rs.UID)] = true
			}
		}
	}
	var pods []*corev1.Pod
	for _, p := range w.Pods {
		mine := p.UID == w.Workload.GetUID()
		for _, ref := range p.OwnerReferences {
			mine = mine || owners[string(ref.UID)]
		}
		if mine {
			pods = append(pods, p)
		}
	}
	return pods
}

func podEvidence(p *corev1.Pod) PodEvidence {
	e := PodEvidence{Name: p.Name, Node: p.Spec.NodeName, Phase: string(p.Status.Phase), Reason: firstOf(p.Status.Reason)}
	if c, ok := condition(p, corev1.PodScheduled); ok && c.Status == corev1.ConditionFalse {
		e.Reason = firstOf(c.Message, c.Reason)
	}
	for c := range containersOf(p) {
		s := c.status
		ce := ContainerEvidence{Name: s.Name, Init: c.init, Image: imageOf(c), Restarts: s.RestartCount}
		end := s.LastTerminationState.Terminated
		switch {
		case s.State.Waiting != nil:
			ce.State, ce.Message = "waiting: "+firstOf(s.State.Waiting.Reason, "no reason given"), s.State.Waiting.Message
			ce.started = end != nil // what is shown then is the container before
		case s.State.Running != nil:
			ce.State, ce.started = "running, not ready", true
			if s.Ready || (c.init && !c.sidecar) {
				ce.State = "running"
			}
			ce.restarted = end != nil
		case s.State.Terminated != nil:
			ce.restarted = end != nil
			end = s.State.Terminated
			ce.State, ce.started = "ended: "+firstOf(end.Reason, "no reason given"), true
		default:
			ce.State = "not begun"
		}
		if end != nil {
			ce.Ended, ce.Reason, ce.ExitCode = true, end.Reason, end.ExitCode
			ce.Message = firstOf(end.Message, ce.Message)
			if end.Reason == "StartError" || end.Reason == "ContainerCannotRun" {
				ce.started, ce.restarted = false, false // nothing ran, nothing was written
			}
		}
		ce.Message = short(ce.Message)
		if c.init && end != nil && end.ExitCode == 0 && s.State.Terminated != nil {
			continue // it did its work
		}
		e.Containers = append(e.Containers, ce)
	}
	return e
}

// readLog reads the last lines of a container's log.
func readLog(ctx context.Context, c *cluster.Client, p *corev1.Pod, container string, previous bool) ([]string, error) {
	tail, limit := int64(logLines), int64(logBytes)
	stream, err := c.Kube.CoreV1().Pods(p.Namespace).GetLogs(p.Name, &corev1.PodLogOptions{
		Container: container, Previous: previous, TailLines: &tail, LimitBytes: &limit,
	}).Stream(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = stream.Close() }()
	lines, err := lastLines(io.LimitReader(stream, logBytes))
	if len(lines) == 1 && strings.HasPrefix(lines[0], "unable to retrieve container logs for ") {
		return nil, fmt.Errorf("the node has removed it")
	}
	if len(lines) > 0 {
		err = nil // what came is worth having
	}
	return lines, err
}

// lastLines reads r to its end.
func lastLines(r io.Reader) ([]string, error) {
	raw, err := io.ReadAll(r)
	text := strings.TrimRight(strings.ToValidUTF8(string(raw), "\uFFFD"), "\r\n")
	if text == "" {
		return nil, err
	}
	lines := strings.Split(text, "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], "\r")
	}
	return lines[max(0, len(lines)-logLines):], err
}

// eventLines tells the warnings about the workload, its ReplicaSets and the
// pods, newest first, those that say the same once.
func (w *watched) eventLines(pods []*corev1.Pod) []string {
	var found []*corev1.Event
	if w.Workload != nil {
		found = w.about(w.Workload.GetUID(), w.Workload.GetKind(), w.Workload.GetName())
		for _, rs := range w.ReplicaSets {
			found = append(found, w.about(rs.UID, "ReplicaSet", rs.Name)...)
		}
	}
	for _, p := range pods {
		found = append(found, w.about(p.UID, "Pod", p.Name)...)
	}
	slices.SortStableFunc(found, func(a, b *corev1.Event) int { return lastSeen(b).Compare(lastSeen(a)) })
	var lines []string
	seen := map[string]bool{}
	for _, e := range found {
		message := short(e.Message)
		key := e.Reason + " " + strings.ReplaceAll(message, e.InvolvedObject.Name, "")
		if e.Type != corev1.EventTypeWarning || seen[key] {
			continue
		}
		seen[key] = true
		line := fmt.Sprintf("%s %s %s: %s", lastSeen(e).UTC().Format("15:04:05"), e.InvolvedObject.Kind+" "+e.InvolvedObject.Name, e.Reason, message)
		if n := times(e); n > 1 {
			line += fmt.Sprintf(" (%d times)", n)
		}
		if lines = append(lines, line); len(lines) == mostEvents {
			break
		}
	}
	return lines
}
