package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/validate/content"
	"k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
	"sigs.k8s.io/structured-merge-diff/v6/typed"
)

// Judge says what the server would say to Apply of u, as far as that can be
// told from here, at no request but those for the server's schemas: the types
// of all fields, names and labels, size, the fields that other managers of live
// (nil: not there) hold, and for what Plain tells also the rest of the server's
// own validation. It knows no admission rules of the cluster. Errors are Apply's.
func (c *Client) Judge(ctx context.Context, u, live *unstructured.Unstructured, o ApplyOptions) error {
	object := name(u)
	u = u.DeepCopy()
	u.SetManagedFields(nil)
	foldStringData(u)
	body, err := json.Marshal(u.Object)
	if err != nil {
		return fmt.Errorf("apply %s: %w", object, err)
	}
	if len(body) > mostStored {
		return &TooLargeError{Object: object, Bytes: len(body)}
	}
	if problems := valid(u); len(problems) > 0 {
		if problems[0].Type == field.ErrorTypeTooLong && Plain(u.GroupVersionKind().GroupKind()) {
			return &TooLargeError{Object: object, Bytes: len(body)}
		}
		return fmt.Errorf("apply %s: %w", object, problems.ToAggregate())
	}
	types, err := c.types.of(ctx, u.GroupVersionKind().GroupVersion())
	if err != nil {
		return fmt.Errorf("apply %s: %w", object, err)
	}
	if types == nil {
		return nil
	}
	wanted, err := types.ObjectToTyped(u)
	if err != nil {
		return fmt.Errorf("apply %s: %s", object, strings.TrimSpace(err.Error()))
	}
	if live == nil {
		return nil
	}
	if fields := fixed(u, live); len(fields) > 0 {
		return &ImmutableError{Object: object, Fields: fields}
	}
	if o.Force || live.GroupVersionKind() != u.GroupVersionKind() {
		return nil
	}
	there, err := types.ObjectToTyped(live, typed.AllowDuplicates)
	if err != nil {
		return nil //nolint:nilerr // what the server stores is not ours to judge
	}
	if held := heldByOthers(live, there, wanted); len(held) > 0 {
		return &ConflictError{Object: object, Fields: held}
	}
	return nil
}

// Plain says whether Judge knows all that the server's own validation of a kind
// knows: of what holds only data.
func Plain(kind schema.GroupKind) bool {
	if kind.Group != "" {
		return false
	}
	switch kind.Kind {
	case "ConfigMap", "Secret", "ServiceAccount":
		return true
	}
	return false
}

func valid(u *unstructured.Unstructured) field.ErrorList {
	names := func(name string, _ bool) []string { return content.IsPathSegmentName(name) }
	plain := Plain(u.GroupVersionKind().GroupKind())
	if plain {
		names = validation.NameIsDNSSubdomain
	}
	problems := validation.ValidateObjectMetaAccessor(u, u.GetNamespace() != "", names, field.NewPath("metadata"))
	if !plain || len(problems) > 0 {
		return problems
	}
	switch u.GetKind() {
	case "ConfigMap":
		m := new(corev1.ConfigMap)
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, m); err != nil {
			return field.ErrorList{field.Invalid(field.NewPath("data"), "", err.Error())}
		}
		return validMap(m)
	case "Secret":
		s := new(corev1.Secret)
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, s); err != nil {
			return field.ErrorList{field.Invalid(field.NewPath("data"), "(not shown)", "no map of base64")}
		}
		return validSecret(s)
	}
	return nil
}

func validMap(m *corev1.ConfigMap) (problems field.ErrorList) {
	size := 0
	for key, text := range m.Data {
		problems = append(problems, validKey("data", key)...)
		if _, twice := m.BinaryData[key]; twice {
			problems = append(problems, field.Invalid(field.NewPath("data").Key(key), key, "it is in binaryData as well"))
		}
		size += len(text)
	}
	for key, content := range m.BinaryData {
		problems = append(problems, validKey("binaryData", key)...)
		size += len(content)
	}
	return append(validSize(size), problems...)
}

// secretKeys is what the server wants of Secrets of a type: one of the keys, or
// all of them.
var secretKeys = map[corev1.SecretType]struct {
	keys []string
	all  bool
}{
	corev1.SecretTypeDockercfg:        {[]string{corev1.DockerConfigKey}, true},
	corev1.SecretTypeDockerConfigJson: {[]string{corev1.DockerConfigJsonKey}, true},
	corev1.SecretTypeBasicAuth:        {[]string{corev1.BasicAuthUsernameKey, corev1.BasicAuthPasswordKey}, false},
	corev1.SecretTypeSSHAuth:          {[]string{corev1.SSHAuthPrivateKey}, true},
	corev1.SecretTypeTLS:              {[]string{corev1.TLSCertKey, corev1.TLSPrivateKeyKey}, true},
}

func validSecret(s *corev1.Secret) (problems field.ErrorList) {
	size := 0
	for key, content := range s.Data {
		problems = append(problems, validKey("data", key)...)
		size += len(content)
	}
	wants := secretKeys[s.Type]
	found := 0
	for _, key := range wants.keys {
		if content, ok := s.Data[key]; ok {
			found++
			if key == corev1.DockerConfigKey || key == corev1.DockerConfigJsonKey {
				if !json.Valid(content) {
					problems = append(problems, field.Invalid(field.NewPath("data").Key(key), "(not shown)", "no JSON"))
				}
			}
		}
	}
	if len(wants.keys) > 0 && (found == 0 || wants.all && found < len(wants.keys)) {
		problems = append(problems, field.Required(field.NewPath("data"), fmt.Sprintf("a Secret of type %s has %s", s.Type, strings.Join(wants.keys, " and "))))
	}
	return append(validSize(size), problems...)
}

func validKey(in, key string) (problems field.ErrorList) {
	for _, words := range utilvalidation.IsConfigMapKey(key) {
		problems = append(problems, field.Invalid(field.NewPath(in).Key(key), key, words))
	}
	return problems
}

func validSize(size int) field.ErrorList {
	if size > corev1.MaxSecretSize {
		return field.ErrorList{field.TooLong(field.NewPath("data"), "", corev1.MaxSecretSize)}
	}
	return nil
}

// fixed is the fields of plain configuration that would change and cannot.
func fixed(u, live *unstructured.Unstructured) (fields []string) {
	if !Plain(u.GroupVersionKind().GroupKind()) {
		return nil
	}
	if was, is := live.Object["type"], u.Object["type"]; is != nil && was != is {
		fields = append(fields, "type")
	}
	if immutable, _, _ := unstructured.NestedBool(live.Object, "immutable"); !immutable {
		return fields
	}
	for _, key := range []string{"data", "binaryData"} {
		was, is := live.Object[key], u.Object[key]
		if !equality.Semantic.DeepEqual(was, is) && (was != nil || is != nil) {
			fields = append(fields, key)
		}
	}
	return fields
}

// heldByOthers is what the server calls conflicts: fields that would get
// another value and that another manager has set.
func heldByOthers(live *unstructured.Unstructured, there, wanted *typed.TypedValue) (held []Owned) {
	compared, err := there.Compare(wanted)
	if err != nil {
		return nil
	}
	changed := compared.Modified.Union(compared.Added)
	for _, m := range live.GetManagedFields() {
		ours := m.Manager == Manager && m.Operation == metav1.ManagedFieldsOperationApply
		if ours || m.Subresource != "" || m.FieldsV1 == nil || m.APIVersion != live.GetAPIVersion() {
			continue
		}
		theirs := new(fieldpath.Set)
		if theirs.FromJSON(bytes.NewReader(m.FieldsV1.GetRawBytes())) != nil {
			continue
		}
		theirs.Intersection(changed).Iterate(func(p fieldpath.Path) {
			held = append(held, Owned{Manager: m.Manager, Path: p.String()})
		})
	}
	return held
}
