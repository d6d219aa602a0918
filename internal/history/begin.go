package history

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"golang.org/x/sync/errgroup"

	"github.com/fibership/fibership/internal/release"
)

// keyChunk holds one part of a release's objects, keyID the Begin it is of.
const (
	keyChunk = "objects"
	keyID    = "id"
)

// errTaken says that a number is another release's.
var errTaken = errors.New("the number is taken")

// Begin numbers a release and writes it down: its objects first, then the
// record with the status underway, so that every record there is can be
// restored. It fills in what the store knows (format, service, environment,
// namespace, number, status), the start where none is given, and r.Objects
// where they are empty; given ones must be those of objects. A process killed
// in the middle leaves parts without a record, which count for nothing and
// are swept later.
func (s *Store) Begin(ctx context.Context, r *release.Record, objects []*unstructured.Unstructured) error {
	p, chunks, described, err := wrap(objects)
	if err != nil {
		return fmt.Errorf("record a release of %s: %w", s.service, err)
	}
	began := *r
	if len(began.Objects) == 0 {
		began.Objects = described
	} else if !same(began.Objects, described) {
		return fmt.Errorf("record a release of %s: the record does not name the objects that were given", s.service)
	}
	history, _, err := s.read(ctx)
	if damaged := (*DamagedError)(nil); errors.As(err, &damaged) && !errors.As(err, new(*NewerError)) {
		err = nil // the numbers of damaged releases are found taken
	}
	if err != nil {
		return err
	}
	p.ID = rand.Text()
	began.Format, began.Service, began.Environment, began.Namespace = release.Format, s.service, s.environment, s.namespace
	began.Status = release.Underway
	if began.Started.IsZero() {
		began.Started = time.Now()
	}
	began.Started = began.Started.UTC()
	swept := false
	for began.Revision = history.Next(); ; began.Revision++ {
		switch err := s.begin(ctx, began, p, chunks); {
		case err == nil:
			*r = began
			return nil
		case !errors.Is(err, errTaken):
			return fmt.Errorf("record release %d of %s: %w", began.Revision, s.service, err)
		case swept:
			continue
		}
		// Taken by parts that a killed run left, it is free again after a
		// sweep, and the numbers stay without a gap.
		releases, err := s.sweep(ctx, nil)
		if err != nil {
			return fmt.Errorf("record release %d of %s: %w", began.Revision, s.service, err)
		}
		if swept = true; releases > 0 {
			began.Revision--
		}
	}
}

// begin writes under one number. The first part claims it: whoever creates
// that one has the number, and the others follow at once.
func (s *Store) begin(ctx context.Context, r release.Record, p pack, chunks [][]byte) error {
	secret := s.recordSecret(r.Revision)
	if err := seal(secret, r, p); err != nil {
		return err
	}
	if err := s.createChunk(ctx, r.Revision, 0, p.ID, chunks[0]); err != nil {
		return err
	}
	group, some := errgroup.WithContext(ctx)
	group.SetLimit(4)
	for i, chunk := range chunks[1:] {
		group.Go(func() error { return s.createChunk(some, r.Revision, i+1, p.ID, chunk) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	made, err := s.create(ctx, secret, func(there *corev1.Secret) bool {
		k, err := s.unseal(there)
		return err == nil && k.pack.ID == p.ID
	})
	if err != nil {
		return err
	}
	s.remember(known{secret: made, record: r, pack: p})
	return nil
}

func (s *Store) createChunk(ctx context.Context, revision, i int, id string, chunk []byte) error {
	immutable := true
	_, err := s.create(ctx, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Name: s.chunkName(revision, i), Namespace: s.namespace,
			Labels: s.labels(revision, partObjects),
		},
		Type:      secretType,
		Immutable: &immutable,
		Data:      map[string][]byte{keyChunk: chunk, keyID: []byte(id)},
	}, func(there *corev1.Secret) bool { return string(there.Data[keyID]) == id })
	return err
}

// create makes a Secret, also where the answer is lost on the way: what is
// there already is then recognised as ours. Anyone else's is errTaken.
func (s *Store) create(ctx context.Context, secret *corev1.Secret, ours func(*corev1.Secret) bool) (made *corev1.Secret, err error) {
	secrets := s.kube.CoreV1().Secrets(s.namespace)
	err = retry(ctx, func(ctx context.Context) error {
		ctx, cancel, err := s.fence(ctx)
		if err != nil {
			return err
		}
		defer cancel()
		made, err = secrets.Create(ctx, secret, metav1.CreateOptions{})
		if !apierrors.IsAlreadyExists(err) {
			return err
		}
		made, err = secrets.Get(ctx, secret.Name, metav1.GetOptions{})
		switch {
		case err != nil:
			return err
		case !ours(made):
			return fmt.Errorf("secret %s: %w", secret.Name, errTaken)
		}
		return nil
	})
	return made, err
}

// same says whether two lists name the same objects in the same order.
func same(a, b []release.Object) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].Key() != b[i].Key() || a[i].Hash != b[i].Hash {
			return false
		}
	}
	return true
}
