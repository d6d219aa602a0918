package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/openapi"
	"k8s.io/kube-openapi/pkg/spec3"
)

// schemas knows the server's own types, by which it takes an applied object
// apart. It costs one request for the index and one for each version of a
// group (https://kubernetes.io/docs/concepts/overview/kubernetes-api/#openapi-v3).
type schemas struct {
	finder discovery.DiscoveryInterfaceWithContext

	mu    sync.Mutex
	paths map[string]openapi.GroupVersionWithContext // nil: not asked yet
	known map[schema.GroupVersion]managedfields.TypeConverter
}

func newSchemas(finder discovery.DiscoveryInterfaceWithContext) *schemas {
	return &schemas{finder: finder, known: map[schema.GroupVersion]managedfields.TypeConverter{}}
}

// of is the types of a version of a group; nil where the server publishes none.
func (s *schemas) of(ctx context.Context, gv schema.GroupVersion) (managedfields.TypeConverter, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if converter, ok := s.known[gv]; ok {
		return converter, nil
	}
	if s.paths == nil {
		var err error
		if s.paths, err = s.finder.OpenAPIV3WithContext(ctx).PathsWithContext(ctx); err != nil {
			return nil, fmt.Errorf("ask the API server for its schemas: %w", err)
		}
	}
	path := "apis/" + gv.Group + "/" + gv.Version
	if gv.Group == "" {
		path = "api/" + gv.Version
	}
	document, ok := s.paths[path]
	if !ok {
		s.known[gv] = nil
		return nil, nil
	}
	raw, err := document.SchemaWithContext(ctx, runtime.ContentTypeJSON)
	if err != nil {
		return nil, fmt.Errorf("ask the API server for the schema of %s: %w", gv, err)
	}
	var parsed spec3.OpenAPI
	if err := json.Unmarshal(raw, &parsed); err != nil {
		return nil, fmt.Errorf("read the schema of %s: %w", gv, err)
	}
	if parsed.Components == nil {
		s.known[gv] = nil
		return nil, nil
	}
	converter, err := managedfields.NewTypeConverter(parsed.Components.Schemas, false)
	if err != nil {
		return nil, fmt.Errorf("read the schema of %s: %w", gv, err)
	}
	s.known[gv] = converter
	return converter, nil
}
