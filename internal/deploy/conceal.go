package deploy

import (
	"context"
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/fibership/fibership/internal/analysis"
	"github.com/fibership/fibership/internal/manifests"
	"github.com/fibership/fibership/internal/progress"
)

// A veil knows the values of the Secrets that pods are given, and takes them
// out of all that leaves a session: a service may print what it was given, into
// its log, the answer to a probe or the answer to a request.
//
// Secrets that are objects at hand are known from these. The others are read
// only once there is something foreign to be shown, so that a release that
// passes costs no request for them.
type veil struct {
	target Target

	mu     sync.Mutex
	named  map[types.NamespacedName]time.Time // Secrets of pods, and when the API server last answered for them; zero: never
	values map[string]bool
	hide   func(string) string // of the values
}

const (
	veilAtOnce = 8                // reads in flight
	veilWithin = 2 * time.Second  // that reading may take
	veilAgain  = 10 * time.Second // a Secret may come late, or change
)

func newVeil(t Target) *veil {
	return &veil{target: t, named: map[types.NamespacedName]time.Time{}, values: map[string]bool{}, hide: progress.Hide(nil)}
}

// cover takes in what objects hold of Secrets, or name of them for their pods.
func (v *veil) cover(objects ...*unstructured.Unstructured) {
	v.mu.Lock()
	defer v.mu.Unlock()
	var values []string
	for _, u := range objects {
		if u.GetKind() == "Secret" && u.GetAPIVersion() == "v1" {
			values = append(values, written(u)...)
		}
		template, ok := manifests.PodTemplate(u)
		if !ok {
			continue
		}
		for _, name := range used(template.Spec) {
			key := types.NamespacedName{Namespace: u.GetNamespace(), Name: name}
			if key.Namespace == "" {
				key.Namespace = v.target.Namespace
			}
			if _, known := v.named[key]; !known {
				v.named[key] = time.Time{}
			}
		}
	}
	v.add(values)
}

// add is called with the lock held.
func (v *veil) add(values []string) {
	more := false
	for _, value := range values {
		switch value {
		case v.target.Service, v.target.Environment, v.target.Namespace: // told everywhere
		default:
			more = more || !v.values[value]
			v.values[value] = true
		}
	}
	if more {
		v.hide = progress.Hide(slices.Collect(maps.Keys(v.values)))
	}
}

// known hides what is known by now. It reads nothing.
func (v *veil) known(text string) string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.hide(text)
}

// foreign hides in what comes from pods; it reads first what is to be hidden.
// While that cannot be read nothing is shown.
func (v *veil) foreign(ctx context.Context) func(text string) string {
	return func(text string) string {
		if text == "" {
			return ""
		}
		if err := v.read(ctx); err != nil {
			return fmt.Sprintf("(not shown: %v)", err)
		}
		return v.known(text)
	}
}

// read reads the Secrets that were not read a short while ago. A Secret that is
// not there was not given to anybody; one that may not be read by us is not
// known, and nothing can be done about it.
func (v *veil) read(ctx context.Context) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), veilWithin)
	defer cancel()
	var found sync.Map // by key: values, or the error
	var group errgroup.Group
	group.SetLimit(veilAtOnce)
	for key, at := range v.named {
		if time.Since(at) < veilAgain {
			continue
		}
		group.Go(func() error {
			secret, err := v.target.Cluster.Kube.CoreV1().Secrets(key.Namespace).Get(ctx, key.Name, metav1.GetOptions{})
			switch {
			case err == nil:
				var values []string
				for _, value := range secret.Data {
					values = append(values, string(value))
				}
				found.Store(key, values)
			case apierrors.IsNotFound(err), apierrors.IsForbidden(err):
				found.Store(key, []string(nil))
			case !v.named[key].IsZero(): // as it was
			default:
				return fmt.Errorf("read Secret %s, which pods are given and nobody may see: %w", key.Name, err)
			}
			return nil
		})
	}
	err := group.Wait()
	found.Range(func(key, values any) bool {
		v.named[key.(types.NamespacedName)] = time.Now()
		v.add(values.([]string))
		return true
	})
	return err
}

// Clean is err without the values that are known.
func (s *Session) Clean(err error) error {
	if err == nil {
		return nil
	}
	if text, shown := err.Error(), s.veil.known(err.Error()); shown != text {
		return &cleaned{shown, err}
	}
	return err
}

// cleaned is an error that says less than it did.
type cleaned struct {
	text string
	err  error
}

func (c *cleaned) Error() string { return c.text }
func (c *cleaned) Unwrap() error { return c.err }

// cleanChecks is checks without the values that are known.
func (s *Session) cleanChecks(checks []analysis.Result) []analysis.Result {
	checks = slices.Clone(checks)
	for i := range checks {
		checks[i].Detail = s.veil.known(checks[i].Detail)
	}
	return checks
}

// written is the values that a Secret holds.
func written(u *unstructured.Unstructured) []string {
	var values []string
	plain, _, _ := unstructured.NestedMap(u.Object, "stringData")
	for _, value := range plain {
		values = append(values, fmt.Sprint(value))
	}
	encoded, _, _ := unstructured.NestedMap(u.Object, "data")
	for _, value := range encoded {
		text := fmt.Sprint(value)
		if raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text)); err == nil {
			text = string(raw)
		}
		values = append(values, text)
	}
	return values
}

// used is the Secrets whose values a pod is given.
func used(spec corev1.PodSpec) []string {
	var names []string
	for _, c := range append(spec.InitContainers, spec.Containers...) {
		for _, from := range c.EnvFrom {
			if from.SecretRef != nil {
				names = append(names, from.SecretRef.Name)
			}
		}
		for _, env := range c.Env {
			if env.ValueFrom != nil && env.ValueFrom.SecretKeyRef != nil {
				names = append(names, env.ValueFrom.SecretKeyRef.Name)
			}
		}
	}
	for _, v := range spec.Volumes {
		if v.Secret != nil {
			names = append(names, v.Secret.SecretName)
		}
		if v.Projected == nil {
			continue
		}
		for _, source := range v.Projected.Sources {
			if source.Secret != nil {
				names = append(names, source.Secret.Name)
			}
		}
	}
	return names
}
