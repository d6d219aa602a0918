package history

import (
	"encoding/json"
	"fmt"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fibership/fibership/internal/release"
)

// The keys of a record's Secret.
const (
	keyRecord = "record" // release.Record, JSON
	keyPack   = "pack"   // where its objects are and how they are proved whole, JSON
	keyWriter = "writer" // the version of Fibership that wrote it last
)

// NewerError is a record of a Fibership that is newer than this one. Nothing
// may be changed in a history that is only half understood.
type NewerError struct {
	Release, Format int
	Writer          string // the version that wrote it, as it called itself
}

func (e *NewerError) Error() string {
	return fmt.Sprintf("release %d was recorded in format %d by Fibership %s; this is Fibership %s and reads formats up to %d",
		e.Release, e.Format, e.Writer, writer(), release.Format)
}

// Next is what to do about it.
func (e *NewerError) Next() string {
	return fmt.Sprintf("use Fibership %s or newer for this environment", e.Writer)
}

// maxRecord keeps a record within a Secret, whose limit is 1 MiB of data.
const maxRecord = 960 << 10

// seal writes a record into its Secret. secret is a new one, or the one that
// holds the record's former state.
func seal(secret *corev1.Secret, r release.Record, p pack) error {
	record, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encode the record: %w", err)
	}
	where, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("encode the record: %w", err)
	}
	if size := len(record) + len(where); size > maxRecord {
		return fmt.Errorf("the record of release %d has %d KiB, more than the %d KiB that a Secret takes", r.Revision, size>>10, maxRecord>>10)
	}
	secret.Data = map[string][]byte{keyRecord: record, keyPack: where, keyWriter: []byte(writer())}
	return nil
}

// unseal reads a record from its Secret and believes nothing of it: the cluster's
// Secrets are written by others too.
func (s *Store) unseal(secret *corev1.Secret) (known, error) {
	raw := secret.Data[keyRecord]
	if len(raw) == 0 {
		return known{}, fmt.Errorf("it has no %q", keyRecord)
	}
	// The format goes first: of a newer one nothing else is known.
	var format struct{ Format, Revision int }
	if err := json.Unmarshal(raw, &format); err != nil {
		return known{}, fmt.Errorf("decode %q: %w", keyRecord, err)
	}
	if format.Format > release.Format {
		return known{}, &NewerError{Release: format.Revision, Format: format.Format, Writer: string(secret.Data[keyWriter])}
	}
	var k known
	if err := json.Unmarshal(raw, &k.record); err != nil {
		return known{}, fmt.Errorf("decode %q: %w", keyRecord, err)
	}
	if err := json.Unmarshal(secret.Data[keyPack], &k.pack); err != nil {
		return known{}, fmt.Errorf("decode %q: %w", keyPack, err)
	}
	k.secret = secret
	r := k.record
	switch {
	case r.Format < 1:
		return known{}, fmt.Errorf("it tells no format")
	case r.Service != s.service || r.Environment != s.environment:
		return known{}, fmt.Errorf("it holds a release of %s in %s", r.Service, r.Environment)
	case r.Revision < 1 || secret.Name != s.recordName(r.Revision):
		return known{}, fmt.Errorf("it holds release %d, which belongs under another name", r.Revision)
	case !r.Status.Recorded():
		return known{}, fmt.Errorf("it has the status %q", r.Status)
	}
	return k, k.pack.valid()
}

// recordSecret is the Secret for a record, still without it.
func (s *Store) recordSecret(revision int) *corev1.Secret {
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Name: s.recordName(revision), Namespace: s.namespace,
			Labels: s.labels(revision, partRecord),
		},
		Type: secretType,
	}
}

// revisionOf reads the number from a Secret's label, 0 where there is none.
func revisionOf(labels map[string]string) int {
	n, err := strconv.Atoi(labels[labelRevision])
	if err != nil || n < 1 {
		return 0
	}
	return n
}
