package cluster

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// ErrNoDryRun says that the server cannot try an object out: an admission
// webhook has side effects, or the kind's CRD is itself only tried out.
var ErrNoDryRun = errors.New("the API server cannot try this object out")

// Owned is a field that another manager holds.
type Owned struct{ Manager, Path string }

// ConflictError says that others hold fields that were to be applied.
type ConflictError struct {
	Object string
	Fields []Owned
	err    error
}

func (e *ConflictError) Error() string {
	held := make([]string, len(e.Fields))
	for i, f := range e.Fields {
		held[i] = fmt.Sprintf("%s holds %s", f.Manager, f.Path)
	}
	return fmt.Sprintf("apply %s: %s", e.Object, strings.Join(held, ", "))
}

// Next is what a person can do about it.
func (e *ConflictError) Next() string {
	return "leave the field out of the manifest, let the other manager give it up, or annotate the object " + ForceAnnotation + `: "true": then it is taken over`
}

func (e *ConflictError) Unwrap() error { return e.err }

// ForceAnnotation on an object, "true", takes its fields over from other managers.
const ForceAnnotation = "fibership.dev/force"

// RecreateAnnotation on an object, "true", allows that it is deleted and
// created again where it cannot be changed in place.
const RecreateAnnotation = "fibership.dev/recreate"

// ImmutableError says that a field of an existing object cannot be changed.
type ImmutableError struct {
	Object string
	Fields []string // paths; empty where the server names none
	Also   []string // what else is wrong with the object, in the server's words
	err    error
}

func (e *ImmutableError) Error() string {
	what := "it"
	if len(e.Fields) > 0 {
		what = strings.Join(e.Fields, ", ")
	}
	text := fmt.Sprintf("apply %s: %s cannot be changed in place", e.Object, what)
	if len(e.Also) > 0 {
		text += "; also: " + strings.Join(e.Also, "; ")
	}
	return text
}

// Next is what a person can do about it.
func (e *ImmutableError) Next() string {
	return "keep the field as it is, give the object another name, or annotate it " + RecreateAnnotation + `: "true": then it is deleted and created again`
}

func (e *ImmutableError) Unwrap() error { return e.err }

// ForbiddenError says which right is missing.
type ForbiddenError struct {
	Access
	User string
	err  error
}

func (e *ForbiddenError) Error() string { return fmt.Sprintf("no right to %s", e.Access) }

// Next is the RBAC rule to add, as YAML: for all objects of the resource, and
// with create where an object is applied, which may have to be made first.
func (e *ForbiddenError) Next() string {
	missing := e.Access
	missing.Name = ""
	rights := []Access{missing}
	if missing.Verb == "patch" {
		missing.Verb = "create"
		rights = append(rights, missing)
	}
	return Rules(rights)
}

func (e *ForbiddenError) Unwrap() error { return e.err }

// UnknownKindError says that the server does not serve a kind.
type UnknownKindError struct {
	Kind schema.GroupVersionKind
	err  error
}

func (e *UnknownKindError) Error() string {
	return fmt.Sprintf("the cluster does not know the kind %s of %s", e.Kind.Kind, e.Kind.GroupVersion())
}

// Next is what a person can do about it.
func (e *UnknownKindError) Next() string {
	return "check apiVersion and kind, or install the CustomResourceDefinition that makes the kind"
}

func (e *UnknownKindError) Unwrap() error { return e.err }

// TooLargeError says that an object exceeds what the server stores.
type TooLargeError struct {
	Object string
	Bytes  int // as sent
	err    error
}

func (e *TooLargeError) Error() string {
	return fmt.Sprintf("apply %s: its %d bytes are more than a cluster stores (1 MiB in a ConfigMap or Secret, 1.5 MB in any object)", e.Object, e.Bytes)
}

// Next is what a person can do about it.
func (e *TooLargeError) Next() string {
	return "split the object, or put large data into the image or a volume"
}

func (e *TooLargeError) Unwrap() error { return e.err }

// RefusedError says that an admission rule of the cluster refuses an object;
// Words are its own.
type RefusedError struct {
	Object string
	By     string // `webhook "policy.example.com"`, "quota", "pod security", "limit range", "admission"
	Words  string
	err    error
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("apply %s: refused by %s: %s", e.Object, e.By, e.Words)
}

// Next is what a person can do about it.
func (e *RefusedError) Next() string {
	return "make the object fit the rule, or ask those who keep the rule"
}

func (e *RefusedError) Unwrap() error { return e.err }

// refine gives an error of the API a type and words. object is for people,
// size is what was sent.
func refine(err error, object string, size int) error {
	if err == nil {
		return nil
	}
	var away *UnreachableError
	if errors.As(err, &away) {
		return fmt.Errorf("apply %s: %w", object, away)
	}
	if problem := namespaceProblem(err); problem != nil {
		return fmt.Errorf("apply %s: %w", object, problem)
	}
	words := err.Error()
	switch {
	case strings.Contains(words, "does not support dry run"):
		return fmt.Errorf("apply %s: %w: %s", object, ErrNoDryRun, words)
	case webhookWords.MatchString(words):
		m := webhookWords.FindStringSubmatch(words)
		return &RefusedError{Object: object, By: fmt.Sprintf("%s %q", m[1], m[2]), Words: m[3], err: err}
	case policyWords.MatchString(words): // its status is what the policy wants it to be
		m := policyWords.FindStringSubmatch(words)
		return &RefusedError{Object: object, By: fmt.Sprintf("policy %q", m[1]), Words: m[2], err: err}
	case apierrors.IsForbidden(err):
		return forbidden(err, object)
	case apierrors.IsConflict(err) && len(fieldConflicts(err)) > 0:
		return &ConflictError{Object: object, Fields: fieldConflicts(err), err: err}
	case apierrors.IsRequestEntityTooLargeError(err), strings.Contains(words, "etcdserver: request is too large"),
		strings.Contains(words, "trying to send message larger than max"), strings.Contains(words, "may not be more than 1048576 bytes"):
		return &TooLargeError{Object: object, Bytes: size, err: err}
	case apierrors.IsInvalid(err):
		if fields, also, ok := immutable(err); ok {
			return &ImmutableError{Object: object, Fields: fields, Also: also, err: err}
		}
	}
	return fmt.Errorf("apply %s: %w", object, err)
}

// The server's words are its only telling of who refused.
// https://github.com/kubernetes/apiserver/tree/master/pkg/admission
var (
	webhookWords = regexp.MustCompile(`(?s)admission (webhook) "([^"]+)" denied the request:? ?(.*)`)
	policyWords  = regexp.MustCompile(`(?s)ValidatingAdmissionPolicy '([^']+)' with binding '[^']+' denied request: (.*)`)
	rbacWords    = regexp.MustCompile(`User "([^"]*)" cannot (\S+) resource "([^"]+)" in API group "([^"]*)"(?: in the namespace "([^"]+)")?`)
	holderWords  = regexp.MustCompile(`conflict with "([^"]+)"`)
	fixedWords   = regexp.MustCompile(`(?i)immutable|may not change once set|cannot change roleref|updates to .* (?:are|is) forbidden|may not be (?:changed|modified) after creation`)
)

func forbidden(err error, object string) error {
	status := statusOf(err)
	if m := rbacWords.FindStringSubmatch(status.Message); m != nil {
		resource, sub, _ := strings.Cut(m[3], "/")
		missing := &ForbiddenError{User: m[1], err: err, Access: Access{
			Verb: m[2], Group: m[4], Resource: resource, Subresource: sub, Namespace: m[5],
		}}
		if status.Details != nil {
			missing.Name = status.Details.Name
		}
		return missing
	}
	by := "admission"
	_, words, found := strings.Cut(status.Message, "is forbidden: ")
	if !found {
		words = status.Message
	}
	for _, known := range []struct{ words, by string }{
		{"exceeded quota", "quota"},
		{"failed quota", "quota"},
		{"violates PodSecurity", "pod security"},
		{"usage per", "limit range"},
	} {
		if strings.Contains(status.Message, known.words) {
			by = known.by
		}
	}
	return &RefusedError{Object: object, By: by, Words: words, err: err}
}

// namespaceProblem: the object's namespace is not there, or not for long.
func namespaceProblem(err error) *NamespaceError {
	details := statusOf(err).Details
	if details == nil {
		return nil
	}
	if apierrors.IsNotFound(err) && details.Kind == "namespaces" {
		return &NamespaceError{Name: details.Name, err: err}
	}
	for _, cause := range details.Causes {
		if cause.Type == corev1.NamespaceTerminatingCause {
			_, name, _ := strings.Cut(cause.Message, "namespace ")
			name, _, _ = strings.Cut(name, " ")
			return &NamespaceError{Name: name, Terminating: true, err: err}
		}
	}
	return nil
}

func fieldConflicts(err error) []Owned {
	var fields []Owned
	for _, cause := range causes(err) {
		if cause.Type != metav1.CauseTypeFieldManagerConflict {
			continue
		}
		manager := cause.Message
		if m := holderWords.FindStringSubmatch(cause.Message); m != nil {
			manager = m[1]
		}
		fields = append(fields, Owned{Manager: manager, Path: cause.Field})
	}
	return fields
}

func immutable(err error) (fields, also []string, ok bool) {
	for _, cause := range causes(err) {
		switch {
		case !fixedWords.MatchString(cause.Message):
			also = append(also, strings.TrimPrefix(cause.Field+": ", ": ")+cause.Message)
		case cause.Field != "":
			fields = append(fields, cause.Field)
		}
	}
	return fields, also, len(fields) > 0 || fixedWords.MatchString(statusOf(err).Message)
}

func causes(err error) []metav1.StatusCause {
	if details := statusOf(err).Details; details != nil {
		return details.Causes
	}
	return nil
}

func statusOf(err error) metav1.Status {
	var status apierrors.APIStatus
	if errors.As(err, &status) {
		return status.Status()
	}
	return metav1.Status{Message: err.Error()}
}
