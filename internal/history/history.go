// Package history keeps releases, their journal and the lock of an
// environment in the namespace that they describe. It stores what it is given
// and gives it back byte for byte; what a release means, and how one is
// brought to the cluster, is the business of the deeds.
//
// A release is one Secret for the record and as many as are needed for its
// objects. They are Secrets, not ConfigMaps, because a release holds the
// Secrets that it applied. Nothing but the lock excludes writers; the records
// alone stay consistent without it (numbers are unique, changes are refused
// where someone else was first).
//
// The rights that it needs, in the namespace of the environment and nowhere
// else:
//
//	secrets                    get list create update delete
//	leases.coordination.k8s.io get create update
package history

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/kubernetes"

	"github.com/fibership/fibership/internal/cluster"
	"github.com/fibership/fibership/internal/release"
)

// Labels and types of what is kept.
const (
	labelService     = "fibership.dev/service"
	labelEnvironment = "fibership.dev/environment"
	labelRevision    = "fibership.dev/revision"
	labelPart        = "fibership.dev/part"
	partRecord       = "record"
	partObjects      = "objects"

	secretType corev1.SecretType = "fibership.dev/release" //nolint:gosec // a type's name
)

// ErrChanged says that someone else changed a record since it was read.
var ErrChanged = errors.New("someone else changed the record meanwhile")

// Store is the history of one service in one environment. It remembers what
// it read, so that a change of a record is a change of that very state. It is
// safe for concurrent use.
type Store struct {
	kube                            kubernetes.Interface
	service, environment, namespace string
	times                           times

	mu    sync.Mutex
	known map[int]known // by revision
	lock  *Lock         // the one taken through this store: fences its writes
}

// known is what was last seen of a record in the cluster.
type known struct {
	secret *corev1.Secret
	record release.Record
	pack   pack
}

// Open gives the history of a service in an environment, kept in namespace.
// Nothing is asked of the cluster yet. The client must not itself be fenced
// by the lock that is taken through the store: the store fences its own
// writes.
func Open(c *cluster.Client, service, environment, namespace string) *Store {
	return open(c.Kube, service, environment, namespace)
}

func open(kube kubernetes.Interface, service, environment, namespace string) *Store {
	return &Store{
		kube: kube, service: service, environment: environment, namespace: namespace,
		times: standard, known: map[int]known{},
	}
}

// name is that of the Lease, and what the names of all Secrets begin with.
func (s *Store) name() string {
	return "fibership." + Word(s.service) + "." + Word(s.environment)
}

func (s *Store) recordName(revision int) string {
	return s.name() + "." + strconv.Itoa(revision)
}

func (s *Store) chunkName(revision, chunk int) string {
	return s.recordName(revision) + "." + strconv.Itoa(chunk)
}

func (s *Store) labels(revision int, part string) map[string]string {
	return map[string]string{
		labelService:     Word(s.service),
		labelEnvironment: Word(s.environment),
		labelRevision:    strconv.Itoa(revision),
		labelPart:        part,
	}
}

func (s *Store) selector(part string) string {
	return labels.Set{
		labelService:     Word(s.service),
		labelEnvironment: Word(s.environment),
		labelPart:        part,
	}.String()
}

// fence refuses a write once the lock taken through this store is not surely
// held any more, and else bounds it, so that it ends while the lock is held.
func (s *Store) fence(ctx context.Context) (context.Context, context.CancelFunc, error) {
	s.mu.Lock()
	lock := s.lock
	s.mu.Unlock()
	if lock == nil {
		return ctx, func() {}, nil
	}
	until, err := lock.Until(ctx)
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithDeadline(ctx, until)
	return ctx, cancel, nil
}

func (s *Store) remember(k known) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known[k.record.Revision] = k
}

func (s *Store) recall(revision int) (known, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k, ok := s.known[revision]
	return k, ok
}

func (s *Store) forget(revision int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.known, revision)
}

// Word makes a name's part of any text. Environments of GitHub are called
// "Production" or "eu/west"; names of Kubernetes are lower case and hold no
// such signs. What had to be changed gets a hash, so that two texts never
// become one name.
func Word(text string) string {
	clean := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '-':
			return r
		case r >= 'A' && r <= 'Z':
			return r - 'A' + 'a'
		}
		return '-'
	}, text)
	clean = strings.Trim(clean, "-")
	if clean == text && len(text) <= 63 && text != "" {
		return text
	}
	sum := sha256.Sum256([]byte(text))
	return strings.Trim(clean[:min(len(clean), 50)]+"-"+hex.EncodeToString(sum[:4]), "-")
}

// writer is the version of Fibership that runs, as far as the build knows it.
func writer() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}
