package history

import (
	"context"
	"errors"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/pager"

	"golang.org/x/sync/errgroup"

	"github.com/fibership/fibership/internal/release"
)

// DamagedError names the releases that could not be read. What List gives
// beside it is the rest of the history: enough to show, not enough to change
// an environment, because the release that is live may be among the damaged.
type DamagedError struct {
	Namespace string
	Secrets   []string // the names of the damaged records' Secrets
	Causes    []error  // why, one for each
}

func (e *DamagedError) Error() string {
	var b strings.Builder
	for i, name := range e.Secrets {
		if i > 0 {
			b.WriteString("; ")
		}
		fmt.Fprintf(&b, "the release in secret %s/%s cannot be read: %v", e.Namespace, name, e.Causes[i])
	}
	return b.String()
}

// Unwrap gives the causes: a *NewerError may be among them.
func (e *DamagedError) Unwrap() []error { return e.Causes }

// Next is what to do about it.
func (e *DamagedError) Next() string {
	for _, cause := range e.Causes {
		var newer *NewerError
		if errors.As(cause, &newer) {
			return newer.Next()
		}
	}
	return fmt.Sprintf("bring back the secret from a backup, or give up the release: kubectl --namespace %s delete secret %s",
		e.Namespace, strings.Join(e.Secrets, " "))
}

// List reads the records, newest first, in one request for every 500. Objects
// are not read. Where single records are damaged or too new, the others come
// back beside a *DamagedError.
func (s *Store) List(ctx context.Context) (release.History, error) {
	history, _, err := s.read(ctx)
	return history, err
}

// read also gives the names of all the Secrets that hold a record, readable or not.
func (s *Store) read(ctx context.Context) (history release.History, names map[string]bool, err error) {
	damaged := &DamagedError{Namespace: s.namespace}
	names = map[string]bool{}
	list := pager.New(func(ctx context.Context, o metav1.ListOptions) (page runtime.Object, err error) {
		err = retry(ctx, func(ctx context.Context) error {
			page, err = s.kube.CoreV1().Secrets(s.namespace).List(ctx, o)
			return err
		})
		return page, err
	})
	err = list.EachListItem(ctx, metav1.ListOptions{LabelSelector: s.selector(partRecord)}, func(o runtime.Object) error {
		secret, ok := o.(*corev1.Secret)
		if !ok || names[secret.Name] {
			return nil
		}
		names[secret.Name] = true
		k, err := s.unseal(secret)
		if err != nil {
			damaged.Secrets = append(damaged.Secrets, secret.Name)
			damaged.Causes = append(damaged.Causes, err)
			return nil
		}
		s.remember(k)
		history = append(history, k.record)
		return nil
	})
	if err != nil {
		return nil, nil, fmt.Errorf("list the releases of %s in namespace %s: %w", s.service, s.namespace, err)
	}
	history.Sort()
	if len(damaged.Secrets) > 0 {
		return history, names, damaged
	}
	return history, names, nil
}

// Objects reads the objects of a release, in the order in which they are
// applied. They are whole and are those that the record names, or there is an
// error: never a part of them.
func (s *Store) Objects(ctx context.Context, r release.Record) ([]*unstructured.Unstructured, error) {
	k, ok := s.recall(r.Revision)
	if !ok {
		var err error
		if k, err = s.get(ctx, r.Revision); err != nil {
			return nil, fmt.Errorf("read release %d: %w", r.Revision, err)
		}
	}
	chunks := make([][]byte, k.pack.Chunks)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(4)
	for i := range chunks {
		group.Go(func() error {
			return retry(ctx, func(ctx context.Context) error {
				secret, err := s.kube.CoreV1().Secrets(s.namespace).Get(ctx, s.chunkName(r.Revision, i), metav1.GetOptions{})
				if err != nil {
					return fmt.Errorf("part %d of %d of its objects: %w", i+1, len(chunks), err)
				}
				chunks[i] = secret.Data[keyChunk]
				return nil
			})
		})
	}
	if err := group.Wait(); err != nil {
		return nil, fmt.Errorf("read release %d: %w", r.Revision, err)
	}
	objects, err := unwrap(k.pack, chunks, r.Objects)
	if err != nil {
		return nil, fmt.Errorf("release %d cannot be restored: %w", r.Revision, err)
	}
	return objects, nil
}

// get reads one record as it is now, and remembers it.
func (s *Store) get(ctx context.Context, revision int) (k known, err error) {
	err = retry(ctx, func(ctx context.Context) error {
		secret, err := s.kube.CoreV1().Secrets(s.namespace).Get(ctx, s.recordName(revision), metav1.GetOptions{})
		if err != nil {
			return err
		}
		k, err = s.unseal(secret)
		return err
	})
	if err == nil {
		s.remember(k)
	}
	return k, err
}
