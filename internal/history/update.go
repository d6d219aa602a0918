package history

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fibership/fibership/internal/release"
)

// Update journals a step or the end of a release that this store began or
// listed. It changes the very state that was read: where someone else changed
// it since, the error is ErrChanged and nothing is written. What has ended
// stays as it ended, and the objects of a release never change. Where the
// answer to the write is lost, what is there afterwards decides; an Update may
// be repeated.
func (s *Store) Update(ctx context.Context, r *release.Record) error {
	err := s.update(ctx, *r)
	if err != nil {
		return fmt.Errorf("record release %d of %s as %s: %w", r.Revision, s.service, r.Status, err)
	}
	return nil
}

func (s *Store) update(ctx context.Context, r release.Record) error {
	k, ok := s.recall(r.Revision)
	if !ok {
		return errors.New("the release was not read before")
	}
	secret := k.secret.DeepCopy()
	if err := seal(secret, r, k.pack); err != nil {
		return err
	}
	switch {
	case written(secret, k.secret):
		return nil
	case !k.record.Status.CanBecome(r.Status):
		return fmt.Errorf("it ended as %s and stays so", k.record.Status)
	case !same(r.Objects, k.record.Objects):
		return errors.New("the objects of a release do not change")
	}
	secrets := s.kube.CoreV1().Secrets(s.namespace)
	var now *corev1.Secret
	err := retry(ctx, func(ctx context.Context) (err error) {
		ctx, cancel, err := s.fence(ctx)
		if err != nil {
			return err
		}
		defer cancel()
		now, err = secrets.Update(ctx, secret, metav1.UpdateOptions{})
		if !apierrors.IsConflict(err) {
			return err
		}
		// A conflict with ourselves is a write whose answer was lost.
		now, err = secrets.Get(ctx, secret.Name, metav1.GetOptions{})
		switch {
		case err != nil:
			return err
		case !written(secret, now):
			return ErrChanged
		}
		return nil
	})
	if err != nil {
		return err
	}
	s.remember(known{secret: now, record: r, pack: k.pack})
	return nil
}

// written says whether the record in there is the one in want.
func written(want, there *corev1.Secret) bool {
	return bytes.Equal(want.Data[keyRecord], there.Data[keyRecord]) &&
		bytes.Equal(want.Data[keyPack], there.Data[keyPack])
}
