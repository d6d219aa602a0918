package build

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestParseRecord_refusesWhatIsNone(t *testing.T) {
	digest := "sha256:" + strings.Repeat("a", 64)
	manifest := func(mediaType, content string) []byte {
		raw, err := json.Marshal(map[string]any{
			"config": map[string]string{"mediaType": mediaType}, "annotations": map[string]string{recordAnnotation: content},
		})
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	good := `{"image":"` + digest + `","platforms":{"linux/amd64":"` + digest + `"},"size":5,"suites":[{"sum":"s","tests":{"passed":2},"coverage":0.5}]}`
	r, err := parseRecord(manifest(recordType, good))
	if err != nil {
		t.Fatal(err)
	}
	if tests := r.suite("s"); tests == nil || tests.Passed != 2 || tests.Coverage != 0.5 {
		t.Errorf("suite: %+v", tests)
	}
	if r.suite("") != nil || r.suite("other") != nil {
		t.Error("a suite that never passed is told to have passed")
	}
	for name, raw := range map[string][]byte{
		"no JSON":          []byte("<html>"),
		"an image":         manifest("application/vnd.oci.image.config.v1+json", good),
		"no annotation":    manifest(recordType, ""),
		"a forged digest":  manifest(recordType, strings.ReplaceAll(good, digest, "../../other@"+digest)),
		"no platforms":     manifest(recordType, `{"image":"`+digest+`","size":5}`),
		"a negative size":  manifest(recordType, strings.Replace(good, `"size":5`, `"size":-5`, 1)),
		"a suite too many": manifest(recordType, strings.Replace(good, `"suites":[`, `"suites":[`+strings.Repeat(`{},`, maxSuites), 1)),
	} {
		if _, err := parseRecord(raw); err == nil {
			t.Errorf("%s was taken for a record", name)
		}
	}
}
