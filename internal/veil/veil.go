// Package veil takes the values of Secrets out of what leaves a run: logs,
// errors, checks and evidence. What a deploy does is no business of it.
package veil

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
	"k8s.io/client-go/kubernetes"

	"github.com/fibership/fibership/internal/manifests"
	"github.com/fibership/fibership/internal/progress"
)

// A Veil knows the values of the Secrets that pods are given, and takes them
// out of all that leaves a run: a service may print what it was given, into
// its log, the answer to a probe or the answer to a request. It is safe for
// concurrent use.
//
// Secrets that are objects at hand are known from these. The others are read
// only once there is something foreign to be shown, so that a release that
// passes costs no request for them.
type Veil struct {
	kube      kubernetes.Interface
	namespace string          // of objects that say none
	spared    map[string]bool // what is told everywhere, be it a Secret's value as well

	mu     sync.Mutex
	named  map[types.NamespacedName]time.Time // Secrets of pods, and when the API server last answered for them; zero: never
	values map[string]bool
	hide   func(string) string // of the values
}

const (
	atOnce = 8                // reads in flight
	within = 2 * time.Second  // that reading may take
	again  = 10 * time.Second // a Secret may come late, or change
)

// New gives a veil that knows nothing yet, for pods of namespace. Spared words
// are never hidden.
func New(kube kubernetes.Interface, namespace string, spared ...string) *Veil {
	v := &Veil{
		kube: kube, namespace: namespace, spared: map[string]bool{},
		named: map[types.NamespacedName]time.Time{}, values: map[string]bool{}, hide: progress.Hide(nil),
	}
	for _, word := range spared {
		v.spared[word] = true
	}
	return v
}

// Cover takes in what objects hold of Secrets, or name of them for their pods.
func (v *Veil) Cover(objects ...*unstructured.Unstructured) {
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
				key.Namespace = v.namespace
			}
			if _, known := v.named[key]; !known {
				v.named[key] = time.Time{}
			}
		}
	}
	v.add(values)
}

// add is called with the lock held.
func (v *Veil) add(values []string) {
	more := false
	for _, value := range values {
		if !v.spared[value] {
			more = more || !v.values[value]
			v.values[value] = true
		}
	}
	if more {
		v.hide = progress.Hide(slices.Collect(maps.Keys(v.values)))
	}
}

// Known hides what is known by now. It reads nothing.
func (v *Veil) Known(text string) string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.hide(text)
}

// Foreign hides in what comes from pods; it reads first what is to be hidden.
// While that cannot be read nothing is shown.
func (v *Veil) Foreign(ctx context.Context) func(text string) string {
	return func(text string) string {
		if text == "" {
			return ""
		}
		if err := v.read(ctx); err != nil {
			return fmt.Sprintf("(not shown: %v)", err)
		}
		return v.Known(text)
	}
}

// read reads the Secrets that were not read a short while ago. A Secret that is
// not there was not given to anybody; one that may not be read by us is not
// known, and nothing can be done about it.
func (v *Veil) read(ctx context.Context) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), within)
	defer cancel()
	var found sync.Map // by key: values, or the error
	var group errgroup.Group
	group.SetLimit(atOnce)
	for key, at := range v.named {
		if time.Since(at) < again {
			continue
		}
		group.Go(func() error {
			secret, err := v.kube.CoreV1().Secrets(key.Namespace).Get(ctx, key.Name, metav1.GetOptions{})
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

// Error is err without the values that are known.
func (v *Veil) Error(err error) error {
	if err == nil {
		return nil
	}
	if text, shown := err.Error(), v.Known(err.Error()); shown != text {
		return &veiled{shown, err}
	}
	return err
}

// veiled is an error that says less than it did.
type veiled struct {
	text string
	err  error
}

func (v *veiled) Error() string { return v.text }
func (v *veiled) Unwrap() error { return v.err }

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
