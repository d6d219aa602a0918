package release

import "encoding/json"

// Steered is how a release under way led traffic off its usual way. It is
// recorded before each change, so that whoever comes after a kill can lead the
// traffic back. What is recorded may therefore not have been done yet.
type Steered struct {
	Services []Pinned `json:"services,omitempty"`
	Route    *Route   `json:"route,omitempty"`
	Metrics  Counted  `json:"metrics,omitzero"`
}

// Away says whether all traffic was led to what stands beside.
func (s *Steered) Away() bool {
	if s == nil {
		return false
	}
	if s.Route != nil {
		return s.Route.Weight == 100
	}
	for _, p := range s.Services {
		if p.Beside {
			return true
		}
	}
	return false
}

// Pinned is a Service that selects less than its manifest says.
type Pinned struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Hash      string `json:"hash"`             // the pod-template-hash that it is held to
	Beside    bool   `json:"beside,omitempty"` // it points at what stands beside instead
}

// Route is an HTTPRoute whose weights were changed.
type Route struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Service   string `json:"service"` // the backend that was there
	Within    string `json:"within"`  // its namespace
	Canary    string `json:"canary"`  // the backend of what stands beside
	Weight    int    `json:"weight"`  // of the canary, in percent, as wanted last; stays when the traffic is led back
	Rules     []Rule `json:"rules,omitempty"`
}

// Rule is one rule of a Route. The lists are JSON as the API server gave it
// and as it was written.
type Rule struct {
	Index int             `json:"index"`
	Was   json.RawMessage `json:"was"`             // its backendRefs before us
	Wrote json.RawMessage `json:"wrote,omitempty"` // what we wrote last
}

// Is is the rule's backendRefs as we left them.
func (r Rule) Is() json.RawMessage {
	if len(r.Wrote) > 0 {
		return r.Wrote
	}
	return r.Was
}

// Counted is where pods tell how many requests reached them.
type Counted struct {
	Port     int    `json:"port,omitempty"` // 0: nowhere
	Requests string `json:"requests,omitempty"`
}
