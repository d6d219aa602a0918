package history

import (
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/yaml"

	"github.com/fibership/fibership/internal/analysis"
	"github.com/fibership/fibership/internal/release"
)

// The file is a release as the first version of Fibership kept it. It is never
// written again: releases like it are in people's clusters.
func TestUnseal_readsTheFirstFormat(t *testing.T) {
	raw, err := os.ReadFile("testdata/format-1.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var secrets []*corev1.Secret
	for _, document := range strings.Split(string(raw), "\n---\n") {
		secret := &corev1.Secret{}
		if err := yaml.UnmarshalStrict([]byte(document), secret); err != nil {
			t.Fatal(err)
		}
		secrets = append(secrets, secret)
	}
	s := open(nil, "orders", "production", "production")
	k, err := s.unseal(secrets[0])
	if err != nil {
		t.Fatal(err)
	}
	r := k.record
	if r.ID() != "orders 7" || r.Status != release.Succeeded || r.Weight != 100 || r.Base != 6 || len(r.Checks) != 1 || r.Checks[0].Verdict != analysis.Pass ||
		!r.Started.Equal(time.Date(2026, 11, 20, 9, 30, 0, 0, time.UTC)) || r.Ended.Sub(r.Started) != 95*time.Second {
		t.Errorf("the record reads %+v", r)
	}
	objects, err := unwrap(k.pack, [][]byte{secrets[1].Data[keyChunk]}, r.Objects)
	if err != nil {
		t.Fatal(err)
	}
	if len(objects) != 2 || objects[0].GetName() != "orders-config" || objects[1].GetKind() != "Deployment" {
		t.Errorf("the objects are %v", objects)
	}
}

func sealed(t *testing.T, s *Store, change func(map[string]any), p pack) *corev1.Secret {
	t.Helper()
	secret := s.recordSecret(7)
	r := release.Record{Format: release.Format, Service: "orders", Environment: "production", Revision: 7, Status: release.Succeeded}
	if err := seal(secret, r, p); err != nil {
		t.Fatal(err)
	}
	if change != nil {
		fields := map[string]any{}
		if err := json.Unmarshal(secret.Data[keyRecord], &fields); err != nil {
			t.Fatal(err)
		}
		change(fields)
		secret.Data[keyRecord], _ = json.Marshal(fields)
	}
	return secret
}

func TestUnseal_refusesWhatIsNoRecordOfItsOwn(t *testing.T) {
	s := open(nil, "orders", "production", "production")
	whole := pack{Chunks: 1, Size: 10, SHA256: sum(nil)}
	set := func(key string, value any) func(map[string]any) {
		return func(fields map[string]any) { fields[key] = value }
	}
	for _, test := range []struct {
		what   string
		change func(map[string]any)
		pack   pack
		err    string
	}{
		{"undamaged", nil, whole, ""},
		{"unknown fields of the same format", set("later", 1), whole, ""},
		{"another service", set("service", "billing"), whole, "holds a release of billing"},
		{"another environment", set("environment", "staging"), whole, "in staging"},
		{"another number", set("revision", 8), whole, "holds release 8"},
		{"no number", set("revision", -1), whole, "holds release -1"},
		{"no status", set("status", ""), whole, `status ""`},
		{"a status that no record has", set("status", "planned"), whole, `status "planned"`},
		{"no format", set("format", 0), whole, "no format"},
		{"a text for a number", set("weight", "all"), whole, "decode"},
		{"no parts", nil, pack{Size: 1, SHA256: sum(nil)}, "cannot be"},
		{"a million parts", nil, pack{Chunks: 1 << 20, SHA256: sum(nil)}, "cannot be"},
		{"a terabyte", nil, pack{Chunks: 1, Size: 1 << 40, SHA256: sum(nil)}, "cannot be"},
		{"no sum", nil, pack{Chunks: 1}, "cannot be"},
	} {
		t.Run(test.what, func(t *testing.T) {
			_, err := s.unseal(sealed(t, s, test.change, test.pack))
			if test.err == "" && err != nil || test.err != "" && (err == nil || !strings.Contains(err.Error(), test.err)) {
				t.Errorf("error %v, want %q", err, test.err)
			}
		})
	}
	if _, err := s.unseal(s.recordSecret(7)); err == nil {
		t.Error("an empty secret is a record")
	}
}

func TestUnseal_saysWhichFibershipReadsANewerFormat(t *testing.T) {
	s := open(nil, "orders", "production", "production")
	secret := sealed(t, s, func(fields map[string]any) {
		fields["format"], fields["status"] = release.Format+1, map[string]any{"made": "of other things"}
	}, pack{})
	secret.Data[keyWriter] = []byte("v9.1.0")
	_, err := s.unseal(secret)
	var newer *NewerError
	if !errors.As(err, &newer) || newer.Release != 7 || !strings.Contains(newer.Next(), "use Fibership v9.1.0 or newer") {
		t.Errorf("error %v", err)
	}
}

func TestSeal_refusesARecordLargerThanASecret(t *testing.T) {
	r := release.Record{Revision: 3, Failure: strings.Repeat("x", 1<<20)}
	if err := seal(&corev1.Secret{}, r, pack{}); err == nil || !strings.Contains(err.Error(), "the record of release 3 has 1024 KiB") {
		t.Errorf("error %v", err)
	}
}

func TestWord_makesNamesOfAnyText(t *testing.T) {
	seen := map[string]string{}
	for _, text := range []string{
		"staging", "Staging", "STAGING", "eu/west", "eu-west", "eu.west", "-x-", "x", "ä", "ö", "", " ",
		strings.Repeat("a", 63), strings.Repeat("a", 64), strings.Repeat("a", 65), strings.Repeat("-", 80),
	} {
		got := Word(text)
		if other, ok := seen[got]; ok {
			t.Errorf("%q and %q are both %q", text, other, got)
		}
		seen[got] = text
		if wrong := validation.IsDNS1123Label(got); wrong != nil {
			t.Errorf("%q becomes %q: %v", text, got, wrong)
		}
	}
	for _, plain := range []string{"staging", "eu-west"} {
		if Word(plain) != plain {
			t.Errorf("%q becomes %q", plain, Word(plain))
		}
	}
}

func FuzzUnseal_survivesAnything(f *testing.F) {
	s := open(nil, "orders", "production", "production")
	f.Add([]byte(`{"format":1,"service":"orders","environment":"production","revision":7,"status":"failed"}`), []byte(`{"chunks":1,"size":1,"sha256":""}`))
	f.Fuzz(func(t *testing.T, record, where []byte) {
		secret := s.recordSecret(7)
		secret.Data = map[string][]byte{keyRecord: record, keyPack: where}
		k, err := s.unseal(secret)
		if err == nil && (k.record.Revision != 7 || !k.record.Status.Recorded() || k.pack.Chunks > maxChunks) {
			t.Errorf("took %q for a record", record)
		}
	})
}
