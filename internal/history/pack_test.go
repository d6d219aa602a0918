package history

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/fibership/fibership/internal/release"
)

func object(t testing.TB, text string) *unstructured.Unstructured {
	t.Helper()
	u, err := decode([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func configMap(t testing.TB, name, value string) *unstructured.Unstructured {
	t.Helper()
	u := object(t, `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"`+name+`"}}`)
	u.Object["data"] = map[string]any{"value": value}
	return u
}

// noise is text that cannot be compressed by much.
func noise(n int) string {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	b := make([]byte, n)
	for i := range b {
		b[i] = letters[rand.IntN(len(letters))]
	}
	return string(b)
}

func TestUnwrap_givesBackEveryByte(t *testing.T) {
	for what, text := range map[string]string{
		"whole numbers":   `{"apiVersion":"v1","kind":"T","n":[0,1,-1,9007199254740993,9223372036854775807,-9223372036854775808]}`,
		"fractions":       `{"apiVersion":"v1","kind":"T","n":[0.5,1e-7,1.7976931348623157e308,2.0,1e20,1e21,123456789012345678901234567890]}`,
		"text":            `{"apiVersion":"v1","kind":"T","s":"<a href=\"&\">\u2028 \u0000 \n ä 語 🚢"}`,
		"empty things":    `{"apiVersion":"v1","kind":"T","a":{},"b":[],"c":null,"d":""}`,
		"a kind of lists": `{"apiVersion":"v1","kind":"ConfigMapList","items":[{"kind":"ConfigMap","apiVersion":"v1"}]}`,
	} {
		t.Run(what, func(t *testing.T) {
			in := []*unstructured.Unstructured{object(t, text), configMap(t, "second", "x")}
			p, chunks, described, err := wrap(in)
			if err != nil {
				t.Fatal(err)
			}
			out, err := unwrap(p, chunks, described)
			if err != nil {
				t.Fatal(err)
			}
			for i := range in {
				was, _ := json.Marshal(in[i].Object)
				is, _ := json.Marshal(out[i].Object)
				if !bytes.Equal(was, is) {
					t.Errorf("was %s\nis  %s", was, is)
				}
				if release.Describe(out[i]) != release.Describe(in[i]) {
					t.Errorf("object %d has another hash", i)
				}
			}
		})
	}
}

func TestWrap_refusesWhatWouldComeBackDifferent(t *testing.T) {
	u := configMap(t, "odd", "")
	u.Object["n"] = math.Copysign(0, -1) // JSON's -0 is read back as 0
	if _, _, _, err := wrap([]*unstructured.Unstructured{u}); err == nil || !strings.Contains(err.Error(), "ConfigMap odd could not be restored") {
		t.Errorf("error %v", err)
	}
}

func TestWrap_takesAReleaseWithoutObjects(t *testing.T) {
	p, chunks, described, err := wrap(nil)
	if err != nil || p.valid() != nil {
		t.Fatal(err, p.valid())
	}
	if out, err := unwrap(p, chunks, described); err != nil || len(out) != 0 {
		t.Errorf("%d objects, error %v", len(out), err)
	}
}

func TestWrap_cutsWhatIsLargerThanASecret(t *testing.T) {
	p, chunks, _, err := wrap([]*unstructured.Unstructured{configMap(t, "large", noise(3<<20))})
	if err != nil {
		t.Fatal(err)
	}
	if p.Chunks < 3 || p.Chunks != len(chunks) {
		t.Fatalf("%d parts, the pack says %d", len(chunks), p.Chunks)
	}
	for i, c := range chunks {
		if len(c) == 0 || len(c) > 900<<10 {
			t.Errorf("part %d has %d bytes", i, len(c))
		}
	}
}

func TestWrap_refusesMoreThanItWouldReadBack(t *testing.T) {
	u := configMap(t, "huge", strings.Repeat("x", maxObjects))
	if _, _, _, err := wrap([]*unstructured.Unstructured{u}); err == nil || !strings.Contains(err.Error(), "64 MiB") {
		t.Errorf("error %v", err)
	}
}

func TestUnwrap_findsEveryDamage(t *testing.T) {
	in := []*unstructured.Unstructured{configMap(t, "a", noise(1<<20)), configMap(t, "b", noise(1<<20))}
	p, chunks, described, err := wrap(in)
	if err != nil {
		t.Fatal(err)
	}
	other, otherChunks, otherDescribed, _ := wrap([]*unstructured.Unstructured{configMap(t, "c", "")})
	var bomb bytes.Buffer
	z, _ := gzip.NewWriterLevel(&bomb, gzip.BestCompression)
	for range 256 {
		_, _ = z.Write(make([]byte, 1<<20))
	}
	_ = z.Close()
	flipped := func(chunk, at int) [][]byte {
		copied := [][]byte{bytes.Clone(chunks[0]), bytes.Clone(chunks[1])}
		copied[chunk][at] ^= 1
		return copied
	}
	renamed := []release.Object{described[0], described[1]}
	renamed[1].Name = "x"
	longer, wrong := p, p
	longer.Size++
	wrong.SHA256 = sum(nil)
	for _, test := range []struct {
		what      string
		p         pack
		chunks    [][]byte
		described []release.Object
		err       string
	}{
		{"a part is missing", p, chunks[:1], described, "damaged"},
		{"parts are swapped", p, [][]byte{chunks[1], chunks[0]}, described, "damaged"},
		{"a bit fell over", p, flipped(1, 5000), described, "damaged"},
		{"the header is broken", p, flipped(0, 0), described, "damaged"},
		{"another release's objects", p, otherChunks, described, "damaged"},
		{"another size", longer, chunks, described, "damaged"},
		{"another sum", wrong, chunks, described, "the sum is not the one recorded"},
		{"a bomb", p, [][]byte{bomb.Bytes()}, described, "more than"},
		{"an object too few", p, chunks, described[:1], "names 1 objects, 2 are kept"},
		{"another object", p, chunks, renamed, "its object 2 is not the ConfigMap x"},
		{"another record", other, otherChunks, described[:1], "its object 1 is not the ConfigMap a"},
	} {
		t.Run(test.what, func(t *testing.T) {
			out, err := unwrap(test.p, test.chunks, test.described)
			if err == nil || !strings.Contains(err.Error(), test.err) || out != nil {
				t.Errorf("%d objects, error %v, want %q", len(out), err, test.err)
			}
		})
	}
	if _, err := unwrap(other, otherChunks, otherDescribed); err != nil {
		t.Errorf("undamaged: %v", err)
	}
}

func FuzzUnwrap_neverTrustsTheCluster(f *testing.F) {
	p, chunks, described, err := wrap([]*unstructured.Unstructured{configMap(f, "a", "b")})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(chunks[0], p.Size, p.SHA256)
	f.Add([]byte{}, 0, "")
	f.Fuzz(func(t *testing.T, chunk []byte, size int, sum string) {
		hostile := pack{Chunks: 1, Size: size, SHA256: sum}
		if hostile.valid() != nil {
			return
		}
		out, err := unwrap(hostile, [][]byte{chunk}, described)
		if err == nil && release.Describe(out[0]) != described[0] {
			t.Errorf("took %v for %v", out[0], described[0])
		}
	})
}
