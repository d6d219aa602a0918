package manifests

import (
	"fmt"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation"
)

// Service is what is known of a service that has no manifests.
type Service struct {
	Name, Namespace, Image      string
	Port, Replicas              int
	Env                         []Variable
	EnvFrom                     []Source
	PullSecret                  string
	ReadinessPath, LivenessPath string
	CPU, Memory                 string // requests; the memory limit too
	Host                        string // non-empty: an HTTPRoute for it on Gateway
	Gateway                     GatewayName
	Flags                       bool // mounts the flag file, see Flags
}

// The times that let a pod go without losing a request: it serves on while the
// cluster learns that it goes, then has the rest to finish what it began.
const (
	preStopSeconds = 5
	graceSeconds   = 30
	startSeconds   = 60 // until then a pod that does not answer is only starting
	user           = 65532
)

// Generate gives a Deployment, a Service on the same port, a
// PodDisruptionBudget and, with a host, an HTTPRoute. A rollout loses no
// request, the pods run without any privilege. Needs Kubernetes 1.30 (the
// preStop sleep, which images without a shell need).
func Generate(s Service) ([]Object, error) {
	// What the inputs hold was parsed; a name may come from elsewhere.
	if problems := validation.IsDNS1035Label(s.Name); len(problems) > 0 {
		return nil, fmt.Errorf("service %q: %s", s.Name, strings.Join(problems, "; "))
	}
	workload := s.deployment()
	if s.Flags {
		s.mountFlags(workload)
	}
	objs := []Object{s.service(), s.budget(), workload}
	if s.Host != "" {
		objs = append(objs, s.route())
	}
	return objs, nil
}

func (s Service) environment() (env, from []any) {
	env = []any{map[string]any{"name": "PORT", "value": strconv.Itoa(s.Port)}}
	for _, v := range s.Env {
		env = append(env, map[string]any{"name": v.Name, "value": v.Value})
	}
	for _, source := range s.EnvFrom {
		field := "configMapRef"
		if source.Kind == "secret" {
			field = "secretRef"
		}
		from = append(from, map[string]any{field: map[string]any{"name": source.Name}})
	}
	return env, from
}

func (s Service) object(apiVersion, kind string, spec map[string]any) Object {
	metadata := map[string]any{"name": s.Name, "labels": s.labels()}
	if s.Namespace != "" {
		metadata["namespace"] = s.Namespace
	}
	return Object{Unstructured: &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": apiVersion, "kind": kind, "metadata": metadata, "spec": spec,
	}}}
}

func (s Service) labels() map[string]any { return map[string]any{"app.kubernetes.io/name": s.Name} }

func (s Service) selector() map[string]any { return map[string]any{"matchLabels": s.labels()} }

func (s Service) deployment() Object {
	pod := map[string]any{
		"automountServiceAccountToken":  false,
		"terminationGracePeriodSeconds": int64(graceSeconds),
		"securityContext": map[string]any{
			"runAsNonRoot": true, "runAsUser": int64(user), "runAsGroup": int64(user), "fsGroup": int64(user),
			"seccompProfile": map[string]any{"type": "RuntimeDefault"},
		},
		"topologySpreadConstraints": []any{map[string]any{
			"maxSkew": int64(1), "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway",
			"labelSelector": s.selector(), "matchLabelKeys": []any{"pod-template-hash"},
		}},
		"containers": []any{s.container()},
		"volumes":    []any{map[string]any{"name": "tmp", "emptyDir": map[string]any{}}},
	}
	if s.PullSecret != "" {
		pod["imagePullSecrets"] = []any{map[string]any{"name": s.PullSecret}}
	}
	return s.object("apps/v1", "Deployment", map[string]any{
		"replicas": int64(s.Replicas),
		"selector": s.selector(),
		"strategy": map[string]any{
			"type": "RollingUpdate",
			// New pods first, old ones only once those serve.
			"rollingUpdate": map[string]any{"maxUnavailable": int64(0), "maxSurge": "25%"},
		},
		"template": map[string]any{"metadata": map[string]any{"labels": s.labels()}, "spec": pod},
	})
}

func (s Service) container() map[string]any {
	env, from := s.environment()
	c := map[string]any{
		"name":  s.Name,
		"image": s.Image,
		"ports": []any{map[string]any{"name": "http", "containerPort": int64(s.Port), "protocol": "TCP"}},
		"env":   env,
		"resources": map[string]any{
			// No CPU limit: it would slow the service while the node has time left.
			"requests": map[string]any{"cpu": s.CPU, "memory": s.Memory},
			"limits":   map[string]any{"memory": s.Memory},
		},
		"startupProbe":   probe(s.LivenessPath, 1, startSeconds),
		"readinessProbe": probe(s.ReadinessPath, 1, 3),
		"livenessProbe":  probe(s.LivenessPath, 10, 3),
		"lifecycle":      map[string]any{"preStop": map[string]any{"sleep": map[string]any{"seconds": int64(preStopSeconds)}}},
		"securityContext": map[string]any{
			"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true,
			"capabilities": map[string]any{"drop": []any{"ALL"}},
		},
		"volumeMounts": []any{map[string]any{"name": "tmp", "mountPath": "/tmp"}},
	}
	if len(from) > 0 {
		c["envFrom"] = from
	}
	return c
}

func probe(path string, period, failures int64) map[string]any {
	return map[string]any{
		"httpGet":       map[string]any{"path": path, "port": "http"},
		"periodSeconds": period, "timeoutSeconds": int64(2), "failureThreshold": failures,
	}
}

func (s Service) service() Object {
	return s.object("v1", "Service", map[string]any{
		"selector": s.labels(),
		"ports": []any{map[string]any{
			"name": "http", "port": int64(s.Port), "targetPort": "http", "protocol": "TCP",
		}},
	})
}

// budget lets nodes be emptied one pod at a time, also where there is only one
// pod or where it is not healthy.
func (s Service) budget() Object {
	return s.object("policy/v1", "PodDisruptionBudget", map[string]any{
		"maxUnavailable": int64(1), "selector": s.selector(), "unhealthyPodEvictionPolicy": "AlwaysAllow",
	})
}

func (s Service) route() Object {
	return s.object("gateway.networking.k8s.io/v1", "HTTPRoute", map[string]any{
		"parentRefs": []any{map[string]any{"namespace": s.Gateway.Namespace, "name": s.Gateway.Name}},
		"hostnames":  []any{s.Host},
		"rules": []any{map[string]any{
			"matches":     []any{map[string]any{"path": map[string]any{"type": "PathPrefix", "value": "/"}}},
			"backendRefs": []any{map[string]any{"name": s.Name, "port": int64(s.Port)}},
		}},
	})
}
