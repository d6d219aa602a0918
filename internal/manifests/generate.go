package manifests

// Service is what is known of a service without a manifest.
type Service struct {
	Name, Namespace, Image      string
	Port, Replicas              int
	Env                         []string // NAME=value
	EnvFrom                     []string // secret/NAME, configmap/NAME
	PullSecret                  string
	ReadinessPath, LivenessPath string
	CPU, Memory                 string // requests; the memory limit too
	Host                        string // non-empty: an HTTPRoute
	Gateway                     string // namespace/name
}

// Generate gives a Deployment, a Service, a PodDisruptionBudget and, with a
// host, an HTTPRoute.
func Generate(s Service) ([]Object, error) { panic("being written") }
