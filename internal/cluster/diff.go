package cluster

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/pmezard/go-difflib/difflib"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// Diff is what applying wanted changes in live, for people: lines of YAML with
// "+" and "-" and three lines around them; empty where nothing changes. nil
// stands for an object that is not there. What the server writes by itself is
// left out. Values of Secrets are shown as short hashes that can be compared
// within this process only.
func Diff(live, wanted *unstructured.Unstructured) string {
	before, after := lines(live), lines(wanted)
	text, err := difflib.GetUnifiedDiffString(difflib.UnifiedDiff{A: before, B: after, Context: 3})
	if err != nil {
		return fmt.Sprintf("(no difference can be shown: %v)\n", err)
	}
	return text
}

func lines(u *unstructured.Unstructured) []string {
	if u == nil {
		return nil
	}
	text, err := yaml.Marshal(bare(u).Object)
	if err != nil {
		return []string{fmt.Sprintf("(cannot be shown: %v)\n", err)}
	}
	return strings.SplitAfter(strings.TrimSuffix(string(text), "\n")+"\n", "\n")[:strings.Count(string(text), "\n")]
}

// bare leaves what a person wrote or would write.
func bare(u *unstructured.Unstructured) *unstructured.Unstructured {
	u = u.DeepCopy()
	for _, field := range []string{"managedFields", "uid", "resourceVersion", "generation", "creationTimestamp", "selfLink"} {
		unstructured.RemoveNestedField(u.Object, "metadata", field)
	}
	unstructured.RemoveNestedField(u.Object, "status")
	// kubectl's copy of what it applied holds a Secret's values in plain.
	for _, note := range []string{"kubectl.kubernetes.io/last-applied-configuration", "deployment.kubernetes.io/revision"} {
		unstructured.RemoveNestedField(u.Object, "metadata", "annotations", note)
	}
	if len(u.GetAnnotations()) == 0 {
		unstructured.RemoveNestedField(u.Object, "metadata", "annotations")
	}
	if u.GroupVersionKind().Group == "" && u.GetKind() == "Secret" {
		veil(u)
	}
	return u
}

// veil puts hashes in the place of a Secret's values, text and encoded alike.
func veil(u *unstructured.Unstructured) {
	data := map[string]any{}
	if given, ok := u.Object["data"].(map[string]any); ok {
		for key, value := range given {
			text := fmt.Sprint(value)
			if raw, err := base64.StdEncoding.DecodeString(text); err == nil {
				text = string(raw)
			}
			data[key] = veiled(text)
		}
	}
	if given, ok := u.Object["stringData"].(map[string]any); ok {
		for key, value := range given {
			data[key] = veiled(fmt.Sprint(value))
		}
	}
	delete(u.Object, "stringData")
	delete(u.Object, "data")
	if len(data) > 0 {
		u.Object["data"] = data
	}
}

// veilKey is of this process: a plain hash of a short secret can be guessed.
var veilKey = func() []byte {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	return key
}()

func veiled(value string) string {
	mac := hmac.New(sha256.New, veilKey)
	mac.Write([]byte(value))
	return "(secret, hash " + hex.EncodeToString(mac.Sum(nil))[:8] + ")"
}
