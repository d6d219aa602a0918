package history

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	kjson "k8s.io/apimachinery/pkg/util/json"

	"github.com/fibership/fibership/internal/release"
)

// The limits of a release's objects. A Secret takes 1 MiB of data; what is
// read back is bounded too, because a few bytes of gzip can become gigabytes.
const (
	chunkSize  = 900 << 10
	maxObjects = 64 << 20 // bytes before compression
	maxChunks  = maxObjects/chunkSize + 1
)

// pack tells where the objects of a release are and how they are proved whole.
// The objects are written one a line as canonical JSON, compressed as one
// gzip stream and cut into chunks.
type pack struct {
	ID     string `json:"id"`     // of the Begin that wrote them: tells its chunks from those of others
	Chunks int    `json:"chunks"` // how many Secrets, at least 1
	Size   int    `json:"size"`   // bytes before compression
	SHA256 string `json:"sha256"` // hexadecimal, of the bytes before compression
}

func (p pack) valid() error {
	if p.Chunks < 1 || p.Chunks > maxChunks || p.Size < 0 || p.Size > maxObjects || len(p.SHA256) != 2*sha256.Size {
		return fmt.Errorf("it says that its objects are %d bytes in %d parts with the sum %q, which cannot be", p.Size, p.Chunks, p.SHA256)
	}
	return nil
}

// wrap packs objects. It gives back what identifies each, as it will be
// restored: objects that would not come back as they went in are refused.
func wrap(objects []*unstructured.Unstructured) (p pack, chunks [][]byte, described []release.Object, err error) {
	var whole bytes.Buffer
	for _, u := range objects {
		was := release.Describe(u)
		raw, err := json.Marshal(u.Object)
		if err != nil {
			return pack{}, nil, nil, fmt.Errorf("encode %s: %w", was, err)
		}
		back, err := decode(raw)
		if err != nil {
			return pack{}, nil, nil, fmt.Errorf("%s could not be restored: %w", was, err)
		}
		if is := release.Describe(back); is != was {
			return pack{}, nil, nil, fmt.Errorf("%s could not be restored byte for byte: it holds a number that JSON does not keep", was)
		}
		described = append(described, was)
		whole.Write(raw)
		whole.WriteByte('\n')
		if whole.Len() > maxObjects {
			return pack{}, nil, nil, fmt.Errorf("its objects have more than %d MiB, the most that a release holds", maxObjects>>20)
		}
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, err = z.Write(whole.Bytes())
	if err := errors.Join(err, z.Close()); err != nil {
		return pack{}, nil, nil, fmt.Errorf("compress objects: %w", err)
	}
	for rest := packed.Bytes(); len(rest) > 0; {
		n := min(len(rest), chunkSize)
		chunks = append(chunks, rest[:n:n])
		rest = rest[n:]
	}
	return pack{Chunks: len(chunks), Size: whole.Len(), SHA256: sum(whole.Bytes())}, chunks, described, nil
}

// unwrap is wrap's inverse. Every object must be the one that the record
// describes.
func unwrap(p pack, chunks [][]byte, described []release.Object) ([]*unstructured.Unstructured, error) {
	z, err := gzip.NewReader(bytes.NewReader(bytes.Join(chunks, nil)))
	if err != nil {
		return nil, fmt.Errorf("its objects are damaged: %w", err)
	}
	whole, err := io.ReadAll(io.LimitReader(z, int64(p.Size)+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("its objects are damaged: %w", err)
	case len(whole) > p.Size:
		return nil, fmt.Errorf("its objects are damaged: more than the %d bytes recorded", p.Size)
	case len(whole) < p.Size:
		return nil, fmt.Errorf("its objects are damaged: %d of %d bytes", len(whole), p.Size)
	case sum(whole) != p.SHA256:
		return nil, fmt.Errorf("its objects are damaged: the sum is not the one recorded")
	}
	lines := bytes.Split(bytes.TrimSuffix(whole, []byte("\n")), []byte("\n"))
	if len(whole) == 0 {
		lines = nil
	}
	if len(lines) != len(described) {
		return nil, fmt.Errorf("its record names %d objects, %d are kept", len(described), len(lines))
	}
	objects := make([]*unstructured.Unstructured, 0, len(lines))
	for i, line := range lines {
		u, err := decode(line)
		if err != nil {
			return nil, fmt.Errorf("its object %d (%s) is damaged: %w", i+1, described[i], err)
		}
		if is := release.Describe(u); is.Hash != described[i].Hash || is.Key() != described[i].Key() {
			return nil, fmt.Errorf("its object %d is not the %s that its record names", i+1, described[i])
		}
		objects = append(objects, u)
	}
	return objects, nil
}

// decode keeps numbers what they were: whole ones are int64, as the API's own
// decoder has them.
func decode(raw []byte) (*unstructured.Unstructured, error) {
	u := &unstructured.Unstructured{}
	if err := kjson.Unmarshal(raw, &u.Object); err != nil {
		return nil, err
	}
	if u.GetKind() == "" || u.GetAPIVersion() == "" {
		return nil, errors.New("it has no kind or no apiVersion")
	}
	return u, nil
}

func sum(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}
