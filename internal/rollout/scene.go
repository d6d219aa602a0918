package rollout

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"

	"github.com/fibership/fibership/internal/cluster"
	"github.com/fibership/fibership/internal/release"
)

// known are the kinds that are watched, and where they live. All others that
// roll out at all are read once in a while.
var known = map[string]schema.GroupVersionResource{
	"Deployment.apps":  appsv1.SchemeGroupVersion.WithResource("deployments"),
	"StatefulSet.apps": appsv1.SchemeGroupVersion.WithResource("statefulsets"),
	"DaemonSet.apps":   appsv1.SchemeGroupVersion.WithResource("daemonsets"),
	"Job.batch":        {Group: "batch", Version: "v1", Resource: "jobs"},
	"Pod.":             corev1.SchemeGroupVersion.WithResource("pods"),
}

// rollsOut says whether there is anything to wait for in objects of the kind.
// Kubernetes' own kinds are what they are once they are stored; of kinds that
// others define, their conditions tell.
func rollsOut(o release.Object) bool {
	if _, ok := known[kindName(o)]; ok {
		return true
	}
	gk := o.GroupKind()
	return strings.Contains(gk.Group, ".") && !strings.HasSuffix(gk.Group, ".k8s.io")
}

// kindName reads "Deployment.apps".
func kindName(o release.Object) string { return o.GroupKind().Kind + "." + o.GroupKind().Group }

// scene is everything that is watched in one namespace.
type scene struct {
	c         *cluster.Client
	namespace string
	objects   []release.Object
	ahead     time.Duration // how far the cluster's clock is ahead of ours
	poke      func()

	workloads map[string]*feed[*unstructured.Unstructured] // by kind
	sets      *feed[*appsv1.ReplicaSet]                    // nil without a Deployment
	pods      *feed[*corev1.Pod]
	events    *feed[*corev1.Event]
	others    map[string]*polled // by kind
	running   sync.WaitGroup
}

// watchScene begins to watch; everything ends with ctx. The workloads come
// first: their selectors narrow the rest.
func watchScene(ctx context.Context, c *cluster.Client, namespace string, objects []release.Object, poke func()) *scene {
	s := &scene{
		c: c, namespace: namespace, objects: objects, poke: poke,
		workloads: map[string]*feed[*unstructured.Unstructured]{}, others: map[string]*polled{},
	}
	names := map[string][]string{}
	for _, o := range objects {
		kind := kindName(o)
		if _, ok := known[kind]; !ok {
			if s.others[kind] == nil {
				s.others[kind] = &polled{}
			}
			s.others[kind].objects = append(s.others[kind].objects, o)
			continue
		}
		names[kind] = append(names[kind], o.Name)
	}
	for _, p := range s.others {
		s.running.Go(func() { p.run(ctx, c, poke) })
	}
	for kind, names := range names {
		f := &feed[*unstructured.Unstructured]{what: known[kind].Resource, poke: poke}
		s.workloads[kind] = f
		resource := c.Dynamic.Resource(known[kind]).Namespace(namespace)
		s.running.Go(func() {
			f.run(ctx, &unstructured.Unstructured{}, only(names),
				func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) { return resource.List(ctx, o) },
				resource.Watch)
		})
	}
	if len(s.workloads) == 0 {
		return s
	}
	s.events = &feed[*corev1.Event]{what: "events", poke: poke}
	events := c.Kube.CoreV1().Events(namespace)
	s.running.Go(func() {
		s.events.run(ctx, &corev1.Event{}, func(*metav1.ListOptions) {},
			func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) { return events.List(ctx, o) },
			events.Watch)
	})
	s.pods = &feed[*corev1.Pod]{what: "pods", poke: poke}
	if _, ok := s.workloads["Deployment.apps"]; ok {
		s.sets = &feed[*appsv1.ReplicaSet]{what: "replicasets", poke: poke}
	}
	s.running.Go(func() { s.follow(ctx) })
	return s
}

// follow watches what the workloads own, once their selectors are known.
func (s *scene) follow(ctx context.Context) {
	for !s.workloadsReady() {
		select {
		case <-ctx.Done():
			return
		case <-time.After(5 * time.Millisecond):
		}
	}
	selector := s.selector()
	narrow := func(o *metav1.ListOptions) { o.LabelSelector = selector }
	var both sync.WaitGroup
	both.Go(func() {
		pods := s.c.Kube.CoreV1().Pods(s.namespace)
		s.pods.run(ctx, &corev1.Pod{}, narrow,
			func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) { return pods.List(ctx, o) },
			func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) { return pods.Watch(ctx, o) })
	})
	if s.sets != nil {
		both.Go(func() {
			sets := s.c.Kube.AppsV1().ReplicaSets(s.namespace)
			s.sets.run(ctx, &appsv1.ReplicaSet{}, narrow,
				func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) { return sets.List(ctx, o) },
				func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) { return sets.Watch(ctx, o) })
		})
	}
	both.Wait()
}

func (s *scene) workloadsReady() bool {
	for _, f := range s.workloads {
		if ready, _ := f.state(); !ready {
			return false
		}
	}
	return true
}

// only narrows a list to one name; several cannot be asked for.
func only(names []string) func(*metav1.ListOptions) {
	return func(o *metav1.ListOptions) {
		if len(names) == 1 {
			o.FieldSelector = fields.OneTermEqualSelector("metadata.name", names[0]).String()
		}
	}
}

// manyValues is how many values a selector may name before it is no longer a
// help to anybody.
const manyValues = 30

// selector is what the pods of all workloads in the scene have in common: the
// selector of a single one, else one label that every one of them selects by.
// Empty: all pods.
func (s *scene) selector() string {
	var selectors []*metav1.LabelSelector
	for _, o := range s.objects {
		if s.others[kindName(o)] != nil { // it may select anything
			continue
		}
		u, _ := s.workload(o)
		if u == nil {
			return ""
		}
		raw, found, err := unstructured.NestedMap(u.Object, "spec", "selector")
		var one metav1.LabelSelector
		if err != nil || !found || runtime.DefaultUnstructuredConverter.FromUnstructured(raw, &one) != nil {
			return ""
		}
		selectors = append(selectors, &one)
	}
	if len(selectors) == 1 {
		one, err := metav1.LabelSelectorAsSelector(selectors[0])
		if err != nil {
			return ""
		}
		return one.String()
	}
	return common(selectors)
}

// common finds the label by which the selectors, each with values of its own,
// are told apart best: the one with the most values.
func common(selectors []*metav1.LabelSelector) string {
	values := map[string][]string{}
	for _, one := range selectors {
		for key, value := range one.MatchLabels {
			values[key] = append(values[key], value)
		}
	}
	best, among := "", []string(nil)
	for key, v := range values {
		if len(v) != len(selectors) {
			continue
		}
		slices.Sort(v)
		if v = slices.Compact(v); len(v) > len(among) || len(v) == len(among) && key < best {
			best, among = key, v
		}
	}
	if best == "" || len(among) > manyValues {
		return ""
	}
	in, err := labels.NewRequirement(best, selection.In, among)
	if err != nil {
		return ""
	}
	return labels.NewSelector().Add(*in).String()
}

// workload gives the object as it is: nil where it is not there, or is behind
// what was applied.
func (s *scene) workload(o release.Object) (u *unstructured.Unstructured, behind bool) {
	if p := s.others[kindName(o)]; p != nil {
		u = p.get(o)
	} else if f := s.workloads[kindName(o)]; f != nil {
		u, _ = f.get(o.Name)
	}
	if u != nil && older(u, o) {
		return nil, true
	}
	return u, false
}

// older says whether u is from before what o says was seen: "g5" is a
// generation; a resourceVersion has no order.
func older(u *unstructured.Unstructured, o release.Object) bool {
	seen, ok := strings.CutPrefix(o.Seen, "g")
	if !ok {
		return false
	}
	var generation int64
	for _, r := range seen {
		if r < '0' || r > '9' {
			return false
		}
		generation = generation*10 + int64(r-'0')
	}
	return u.GetGeneration() < generation
}

// ready says whether everything has been read once.
func (s *scene) ready() bool {
	if !s.workloadsReady() {
		return false
	}
	for _, p := range s.others {
		if !p.ready() {
			return false
		}
	}
	for _, f := range s.feeds() {
		if ready, _ := f.state(); !ready {
			return false
		}
	}
	return true
}

// follower is a feed of whatever type.
type follower interface {
	state() (ready bool, refused error)
	late() time.Duration
}

func (s *scene) feeds() []follower {
	var all []follower
	for _, f := range s.workloads {
		all = append(all, f)
	}
	if s.events != nil {
		all = append(all, s.events)
	}
	if s.pods != nil {
		all = append(all, s.pods)
	}
	if s.sets != nil {
		all = append(all, s.sets)
	}
	return all
}

// refusals are the reasons why something cannot be read, each once.
func (s *scene) refusals() []error {
	var all []error
	for _, f := range s.feeds() {
		if _, err := f.state(); err != nil {
			all = append(all, err)
		}
	}
	for _, p := range s.others {
		if err := p.refused(); err != nil {
			all = append(all, err)
		}
	}
	slices.SortFunc(all, func(a, b error) int { return cmp.Compare(a.Error(), b.Error()) })
	return all
}

// late is how long the API server has been silent on any of the feeds.
func (s *scene) late() time.Duration {
	var longest time.Duration
	for _, f := range s.feeds() {
		longest = max(longest, f.late())
	}
	return longest
}

// observe gathers what is known of each object, in the order of s.objects.
func (s *scene) observe() []Observed {
	var all Observed
	all.Now = time.Now().Add(s.ahead)
	if s.pods != nil {
		all.Pods = s.pods.all()
	}
	if s.events != nil {
		all.Events = s.events.all()
	}
	if s.sets != nil {
		all.ReplicaSets = s.sets.all()
	}
	if len(s.objects) == 1 {
		all.Workload, all.behind = s.workload(s.objects[0])
		return []Observed{all}
	}
	return s.split(all)
}

// split gives each object its share, in one pass over everything.
func (s *scene) split(all Observed) []Observed {
	owner := func(refs []metav1.OwnerReference) string {
		for _, ref := range refs {
			if or(ref.Controller, false) {
				return string(ref.UID)
			}
		}
		return ""
	}
	sets := map[string][]*appsv1.ReplicaSet{}
	above := map[string]string{} // a ReplicaSet's UID to its Deployment's
	for _, rs := range all.ReplicaSets {
		up := owner(rs.OwnerReferences)
		sets[up] = append(sets[up], rs)
		above[string(rs.UID)] = up
	}
	pods := map[string][]*corev1.Pod{}
	whose := map[string]string{} // "Pod/name" and the like to the workload's UID
	for _, p := range all.Pods {
		up := owner(p.OwnerReferences)
		if top, ok := above[up]; ok {
			up = top
		}
		pods[up] = append(pods[up], p)
		whose["Pod/"+p.Name] = up
	}
	for _, rs := range all.ReplicaSets {
		whose["ReplicaSet/"+rs.Name] = above[string(rs.UID)]
	}
	events := map[string][]*corev1.Event{}
	for _, e := range all.Events {
		up, ok := whose[e.InvolvedObject.Kind+"/"+e.InvolvedObject.Name]
		if !ok {
			up = string(e.InvolvedObject.UID)
		}
		events[up] = append(events[up], e)
	}
	shares := make([]Observed, len(s.objects))
	for i, o := range s.objects {
		shares[i].Now = all.Now
		u, behind := s.workload(o)
		shares[i].behind = behind
		if u != nil {
			uid := string(u.GetUID())
			shares[i].Workload, shares[i].ReplicaSets, shares[i].Pods, shares[i].Events = u, sets[uid], pods[uid], events[uid]
			if o.Kind == "Pod" {
				shares[i].Events = append(shares[i].Events, events[whose["Pod/"+o.Name]]...)
			}
		}
	}
	return shares
}

// clockAhead asks how far the cluster's clock is ahead of ours. Every answer
// of an API server bears its time, to the second; without one, clocks agree.
func clockAhead(ctx context.Context, c *cluster.Client) time.Duration {
	client, ok := c.Kube.Discovery().RESTClient().(*rest.RESTClient)
	if !ok || client == nil || client.Client == nil {
		return 0
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, client.Get().AbsPath("/version").URL().String(), http.NoBody)
	if err != nil {
		return 0
	}
	sent := time.Now()
	resp, err := client.Client.Do(req)
	if err != nil {
		return 0
	}
	_ = resp.Body.Close()
	date, err := http.ParseTime(resp.Header.Get("Date"))
	if err != nil {
		return 0
	}
	middle := sent.Add(time.Since(sent) / 2)
	ahead := date.Add(500 * time.Millisecond).Sub(middle)
	if ahead.Abs() < 2*time.Second {
		return 0 // no more than the answer's own grain
	}
	return ahead
}
