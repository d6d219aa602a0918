package jobs

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"

	"github.com/fibership/fibership/internal/cluster"
)

const (
	longestLine = 1 << 20  // bytes; what is longer is cut
	mostLog     = 16 << 20 // bytes of one container's log
	again       = 300 * time.Millisecond
)

// follower shows the logs of a Job's pods, each container's as it comes.
type follower struct {
	c         *cluster.Client
	namespace string
	selector  string
	prefixed  bool // there is more than one source of lines
	o         Options
	stop      context.CancelFunc
	streams   sync.WaitGroup
	watching  sync.WaitGroup

	mu    sync.Mutex
	known map[source]bool // whose streams were begun
	ended map[source]bool // whose logs grow no more
}

// source is one life of a container.
type source struct {
	pod       types.UID
	container string
	life      int32
}

// follow begins to watch the pods of the Job called name.
func follow(ctx context.Context, c *cluster.Client, j *Job, name string, o Options) *follower {
	// The last lines are worth having when ctx has ended: see end.
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	f := &follower{
		c: c, namespace: o.Namespace, selector: "job-name=" + name, o: o, stop: stop, prefixed: j.several(),
		known: map[source]bool{}, ended: map[source]bool{},
	}
	f.watching.Go(func() { f.watch(ctx) })
	return f
}

func (j *Job) several() bool {
	spec, _ := j.Object.Object["spec"].(map[string]any)
	pods, _ := spec["parallelism"].(int64)
	return pods > 1 || len(j.containers()) > 1
}

// end waits for the last lines, stops, and says whether any container ran.
func (f *follower) end(ctx context.Context) (ran bool) {
	limit := lastLines
	if ctx.Err() != nil {
		limit = hurried
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
	defer cancel()
	list, err := f.c.Kube.CoreV1().Pods(f.namespace).List(ctx, metav1.ListOptions{LabelSelector: f.selector})
	if err == nil {
		for i := range list.Items {
			f.see(ctx, &list.Items[i])
		}
	}
	f.stopWatching(ctx)
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.known) > 0 || err != nil
}

func (f *follower) stopWatching(ctx context.Context) {
	done := make(chan struct{})
	go func() {
		f.streams.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
	}
	f.stop()
	f.watching.Wait()
	f.streams.Wait()
}

// watch sees each pod of the Job whenever it changes.
func (f *follower) watch(ctx context.Context) {
	pods := f.c.Kube.CoreV1().Pods(f.namespace)
	narrow := func(o *metav1.ListOptions) { o.LabelSelector = f.selector }
	// client-go's log would go past ours, with text from the server in it.
	ctx = klog.NewContext(ctx, logr.Discard())
	see := func(o any) {
		if p, ok := o.(*corev1.Pod); ok {
			f.see(ctx, p)
		}
	}
	_, informer := cache.NewInformerWithOptions(cache.InformerOptions{
		ListerWatcher: &cache.ListWatch{
			ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
				narrow(&o)
				return pods.List(ctx, o)
			},
			WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
				narrow(&o)
				return pods.Watch(ctx, o)
			},
		},
		ObjectType: &corev1.Pod{},
		Handler: cache.ResourceEventHandlerFuncs{
			AddFunc:    see,
			UpdateFunc: func(_, now any) { see(now) },
		},
	})
	informer.RunWithContext(ctx)
}

// see begins to read every container that has started.
func (f *follower) see(ctx context.Context, p *corev1.Pod) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, list := range [][]corev1.ContainerStatus{p.Status.InitContainerStatuses, p.Status.ContainerStatuses} {
		for _, s := range list {
			life := source{p.UID, s.Name, s.RestartCount}
			over := s.State.Terminated
			if s.State.Running == nil && (over == nil || over.Reason == "StartError" || over.Reason == "ContainerCannotRun") {
				continue
			}
			if over != nil {
				f.ended[life] = true
			}
			if s.RestartCount > 0 {
				f.ended[source{p.UID, s.Name, s.RestartCount - 1}] = true
			}
			if f.known[life] {
				continue
			}
			f.known[life] = true
			f.streams.Go(func() { f.stream(ctx, p.Name, life) })
		}
	}
}

func (f *follower) over(s source) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.ended[s]
}

// stream reads one life of a container to its end, across broken connections.
func (f *follower) stream(ctx context.Context, pod string, s source) {
	r := reader{line: f.lines(pod, s.container)}
	for {
		over := f.over(s)
		err := f.read(ctx, &r, pod, s.container)
		switch {
		case ctx.Err() != nil, err == nil && over, errors.Is(err, errTooMuch):
			return
		case apierrors.IsNotFound(err):
			return // the pod is gone, and its log with it
		case apierrors.IsForbidden(err), apierrors.IsBadRequest(err) && over:
			f.o.Log.Linef("the log of container %s of pod %s cannot be read: %v", s.container, pod, err)
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(again):
		}
	}
}

// lines is where a container's lines go.
func (f *follower) lines(pod, container string) func(string) {
	if f.o.Output != nil {
		return func(line string) { f.o.Output(pod, container, line) }
	}
	out := f.o.Log.Foreign()
	prefix := ""
	if f.prefixed {
		prefix = "[" + pod + " " + container + "] "
	}
	return func(line string) { _, _ = io.WriteString(out, prefix+line+"\n") }
}

func (f *follower) read(ctx context.Context, r *reader, pod, container string) error {
	o := &corev1.PodLogOptions{Container: container, Follow: true, Timestamps: true}
	if !r.last.IsZero() {
		o.SinceTime = &metav1.Time{Time: r.last}
	}
	stream, err := f.c.Kube.CoreV1().Pods(f.namespace).GetLogs(pod, o).Stream(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = stream.Close() }()
	return r.read(stream)
}

var errTooMuch = errors.New("the log is too long")

// reader takes a log with timestamps apart. After a break it passes over what
// it has given already.
type reader struct {
	line func(string)
	last time.Time // of the last line given
	size int
}

func (r *reader) read(stream io.Reader) error {
	buffered := bufio.NewReaderSize(stream, 64<<10)
	before := r.last
	for {
		line, err := readLine(buffered)
		if line != "" {
			stamp, text, _ := strings.Cut(line, " ")
			at, bad := time.Parse(time.RFC3339Nano, stamp)
			switch {
			case bad != nil: // the kubelet's own words
				r.line(line)
			case at.After(before):
				r.last = at
				r.line(text)
			}
			if r.size += len(line); r.size > mostLog {
				r.line(fmt.Sprintf("… what comes after %d MiB of log is not shown", mostLog>>20))
				return errTooMuch
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// readLine reads a line without its end; what is longer than longestLine is cut.
func readLine(r *bufio.Reader) (string, error) {
	var line []byte
	for {
		part, more, err := r.ReadLine()
		if room := longestLine - len(line); room > 0 {
			line = append(line, part[:min(len(part), room)]...)
		}
		if err != nil || !more {
			return string(line), err
		}
	}
}
