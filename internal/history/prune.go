package history

import (
	"context"
	"encoding/json"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fibership/fibership/internal/release"
)

// Prune drops the releases that history no longer needs (History.Surplus) and
// gives them back, so that their configuration can be removed too where no kept
// release names it. Under the lock it also sweeps parts that killed runs left.
// A damaged or a newer record stops it: what is not understood is not dropped.
func (s *Store) Prune(ctx context.Context, keep int) (dropped []release.Record, err error) {
	history, names, err := s.read(ctx)
	if err != nil {
		return nil, err
	}
	for _, r := range history.Surplus(keep) {
		// The record goes first: parts without a record are nothing, a record
		// without its parts would be a release that cannot be restored.
		if err := s.drop(ctx, s.recordName(r.Revision)); err != nil {
			return dropped, fmt.Errorf("drop release %d of %s: %w", r.Revision, s.service, err)
		}
		dropped = append(dropped, r)
		delete(names, s.recordName(r.Revision))
		k, ok := s.recall(r.Revision)
		s.forget(r.Revision)
		for i := 0; ok && i < k.pack.Chunks; i++ {
			if err := s.drop(ctx, s.chunkName(r.Revision, i)); err != nil {
				return dropped, fmt.Errorf("drop release %d of %s: %w", r.Revision, s.service, err)
			}
		}
	}
	_, err = s.sweep(ctx, names)
	return dropped, err
}

// sweep removes parts that no record claims, and says of how many releases.
// It does so only under the lock: without it, they may be those of a Begin
// that is at work right now. names are the Secrets of records, nil: read anew.
func (s *Store) sweep(ctx context.Context, names map[string]bool) (releases int, err error) {
	s.mu.Lock()
	locked := s.lock != nil
	s.mu.Unlock()
	if !locked {
		return 0, nil
	}
	if names == nil {
		if _, names, err = s.read(ctx); names == nil {
			return 0, err
		}
	}
	parts, err := s.parts(ctx)
	if err != nil {
		return 0, fmt.Errorf("list parts of releases in namespace %s: %w", s.namespace, err)
	}
	swept := map[int]bool{}
	for _, part := range parts {
		revision := revisionOf(part.Labels)
		if names[s.recordName(revision)] {
			continue
		}
		if err := s.drop(ctx, part.Name); err != nil {
			return len(swept), fmt.Errorf("sweep what a killed run left: %w", err)
		}
		swept[revision] = true
	}
	return len(swept), nil
}

// parts lists the Secrets that hold objects by their metadata alone: their
// content may be many megabytes.
func (s *Store) parts(ctx context.Context) (parts []metav1.PartialObjectMetadata, err error) {
	next := ""
	for {
		var raw []byte
		err := retry(ctx, func(ctx context.Context) error {
			raw, err = s.kube.CoreV1().RESTClient().Get().Namespace(s.namespace).Resource("secrets").
				SetHeader("Accept", "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1").
				Param("labelSelector", s.selector(partObjects)).Param("limit", "500").Param("continue", next).
				DoRaw(ctx)
			return err
		})
		if err != nil {
			return nil, err
		}
		var page metav1.PartialObjectMetadataList
		if err := json.Unmarshal(raw, &page); err != nil {
			return nil, err
		}
		parts = append(parts, page.Items...)
		if next = page.Continue; next == "" {
			return parts, nil
		}
	}
}

// drop deletes a Secret; gone already is as good.
func (s *Store) drop(ctx context.Context, name string) error {
	return retry(ctx, func(ctx context.Context) error {
		ctx, cancel, err := s.fence(ctx)
		if err != nil {
			return err
		}
		defer cancel()
		err = s.kube.CoreV1().Secrets(s.namespace).Delete(ctx, name, metav1.DeleteOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		return err
	})
}
