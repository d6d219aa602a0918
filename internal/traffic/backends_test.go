package traffic

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/fibership/fibership/internal/cluster"
	"github.com/fibership/fibership/internal/release"
)

var web = names{service: "web", canary: "web-canary", namespace: "production", route: "production"}

// routeWith is a route whose rules have the backends, YAML lists.
func routeWith(t *testing.T, rules ...string) *unstructured.Unstructured {
	t.Helper()
	u := new(unstructured.Unstructured)
	text := "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: web, namespace: production, generation: 7}\nspec:\n  hostnames: [web.test]\n"
	if len(rules) > 0 {
		text += "  rules:\n"
	}
	for _, r := range rules {
		text += "  - backendRefs: " + r + "\n"
	}
	if err := yaml.Unmarshal([]byte(text), &u.Object); err != nil {
		t.Fatal(err)
	}
	whole(u.Object)
	return u
}

func TestSteerable_takesRulesWithTheServiceAloneOrWithItsCanary(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		rules []string
		want  []int  // the rules that are steered
		err   string // instead
	}{
		"the service alone":              {rules: []string{"[{name: web, port: 80}]"}, want: []int{0}},
		"with its canary, any weights":   {rules: []string{"[{name: web, port: 80, weight: 3}, {name: web-canary, port: 80, weight: 9}]"}, want: []int{0}},
		"in the other order":             {rules: []string{"[{name: web-canary, port: 80, weight: 0}, {name: web, port: 80}]"}, want: []int{0}},
		"with its namespace and kind":    {rules: []string{`[{group: "", kind: Service, namespace: production, name: web, port: 80, weight: 1}]`}, want: []int{0}},
		"two rules of three":             {rules: []string{"[{name: web, port: 80}]", "[{name: other, port: 80}]", "[{name: web, port: 81}]"}, want: []int{0, 2}},
		"a rule that only redirects":     {rules: []string{"null", "[{name: web, port: 80}]"}, want: []int{1}},
		"no rule with the service":       {rules: []string{"[{name: other, port: 80}]"}, err: "no rule of HTTPRoute web has service web"},
		"no rule at all":                 {err: "no rule of HTTPRoute web has service web"},
		"another backend beside":         {rules: []string{"[{name: web, port: 80}, {name: old-web, port: 80}]"}, err: "rule 1 of HTTPRoute web has the backends Service web, Service old-web"},
		"a bucket beside":                {rules: []string{"[{name: web, port: 80}, {group: s3.example, kind: Bucket, name: files}]"}, err: "Bucket files"},
		"the service twice":              {rules: []string{"[{name: web, port: 80}, {name: web, port: 81}]"}, err: "Service web, Service web"},
		"the canary without the service": {rules: []string{"[{name: web-canary, port: 80}]"}, err: "rule 1"},
		"a service of another namespace": {rules: []string{"[{name: web, namespace: elsewhere, port: 80}]"}, err: "no rule"},
		"another kind of that name":      {rules: []string{"[{kind: Bucket, group: s3.example, name: web}]"}, err: "no rule"},
	} {
		got, err := web.steerable(routeWith(t, c.rules...))
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s: %v, want an error with %q", name, err, c.err)
			}
			continue
		}
		var rules []int
		for _, r := range got {
			rules = append(rules, r.Index)
		}
		if err != nil || !slices.Equal(rules, c.want) {
			t.Errorf("%s: %v, %v; want %v", name, rules, err, c.want)
		}
	}
}

// told is a patch in short: "test 0 web 1", "replace 0 web 90 web-canary 10".
func toldPatch(t *testing.T, operations []cluster.Operation) []string {
	t.Helper()
	var all []string
	for _, o := range operations {
		place := strings.TrimPrefix(o.Path, "/spec/rules/")
		if list, err := backends(o.Value); err == nil {
			text := o.Op + " " + strings.TrimSuffix(place, "/backendRefs")
			for _, b := range list {
				weight, err := json.Marshal(b.weight())
				if err != nil {
					t.Fatal(err)
				}
				text += " " + b.text("name") + " " + string(weight)
			}
			all = append(all, text)
			continue
		}
		all = append(all, o.Op+" "+place+" "+string(o.Value))
	}
	return all
}

func TestForth_testsWhatIsThereAndTouchesNothingElse(t *testing.T) {
	t.Parallel()
	rules, err := web.steerable(routeWith(t, "[{name: other, port: 80}]", "[{name: web, port: 80, filters: [{type: RequestHeaderModifier}]}]"))
	if err != nil {
		t.Fatal(err)
	}
	first, operations, err := web.forth(rules, 10)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := toldPatch(t, operations), []string{"test 1 web 1", "replace 1 web 90 web-canary 10"}; !slices.Equal(got, want) {
		t.Errorf("from the service alone: %q, want %q", got, want)
	}
	if got := string(operations[1].Value); strings.Count(got, "RequestHeaderModifier") != 2 || strings.Count(got, `"port":80`) != 2 {
		t.Errorf("the canary is not as the service: %s", got)
	}
	second, operations, err := web.forth(first, 50)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := toldPatch(t, operations), []string{"test 1 web 90 web-canary 10", "replace 1 web 50 web-canary 50"}; !slices.Equal(got, want) {
		t.Errorf("from 10%%: %q, want %q", got, want)
	}
	if string(second[0].Was) != string(rules[0].Was) {
		t.Errorf("what was there before is %s, want %s", second[0].Was, rules[0].Was)
	}
}

func TestFound_followsARuleThatMoved(t *testing.T) {
	t.Parallel()
	rules, err := web.steerable(routeWith(t, "[{name: web, port: 80}]"))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		now  []string
		want int // -1: not there as it was
	}{
		"where it was":          {[]string{"[{name: web, port: 80}]"}, 0},
		"behind a new rule":     {[]string{"[{name: other, port: 80}]", "[{port: 80, name: web}]"}, 1},
		"with another weight":   {[]string{"[{name: web, port: 80, weight: 2}]"}, -1},
		"with another neighbor": {[]string{"[{name: web, port: 80}, {name: other, port: 80}]"}, -1},
		"gone":                  {nil, -1},
	} {
		lists, err := rulesIn(t, c.now)
		if err != nil {
			t.Fatal(err)
		}
		moved, ok := found(rules, lists)
		if ok != (c.want >= 0) || ok && moved[0].Index != c.want {
			t.Errorf("%s: %v, %v; want rule %d", name, moved, ok, c.want)
		}
	}
}

func rulesIn(t *testing.T, list []string) ([][]backend, error) {
	t.Helper()
	return rules(routeWith(t, list...))
}

func TestBack_givesBackWhatWasThereAndKeepsWhatOthersDid(t *testing.T) {
	t.Parallel()
	const alone, both = "[{name: web, port: 80, weight: 1}]", "[{name: web, port: 80, weight: 100}, {name: web-canary, port: 80, weight: 0}]"
	const steered = "[{name: web, port: 80, weight: 60}, {name: web-canary, port: 80, weight: 40}]"
	for name, c := range map[string]struct {
		was, now string
		stay     bool
		want     []string
		foreign  int
	}{
		"to the service alone":           {alone, steered, false, []string{"test 0 web 60 web-canary 40", "replace 0 web 1"}, 0},
		"to both":                        {both, steered, false, []string{"test 0 web 60 web-canary 40", "replace 0 web 100 web-canary 0"}, 0},
		"both stay":                      {alone, steered, true, []string{"test 0 web 60 web-canary 40", "replace 0 web 100 web-canary 0"}, 0},
		"never changed":                  {alone, alone, false, nil, 0},
		"back already":                   {both, both, false, nil, 0},
		"was left at odd weights before": {steered, steered, false, []string{"test 0 web 60 web-canary 40", "replace 0 web 100 web-canary 0"}, 0},
		"somebody gave it another port":  {alone, strings.ReplaceAll(steered, "80", "81"), false, []string{"test 0 web 60 web-canary 40", "replace 0 web 100 web-canary 0"}, 0},
		"somebody took the canary out":   {alone, "[{name: web, port: 80, weight: 60}]", false, nil, 0},
		"somebody added a backend": {
			alone, "[{name: other, port: 80, weight: 5}, {name: web, port: 80, weight: 60}, {name: web-canary, port: 80, weight: 40}]", false,
			[]string{`test 0/backendRefs/1/name "web"`, "add 0/backendRefs/1/weight 100", `test 0/backendRefs/2/name "web-canary"`, "add 0/backendRefs/2/weight 0"},
			1,
		},
	} {
		were, err := web.steerable(routeWith(t, c.was))
		if err != nil {
			t.Fatal(err)
		}
		lists, err := rulesIn(t, []string{c.now})
		if err != nil {
			t.Fatal(err)
		}
		operations, foreign := web.back(were, lists, c.stay)
		if got := toldPatch(t, operations); !slices.Equal(got, c.want) || len(foreign) != c.foreign {
			t.Errorf("%s: %q (%q), want %q", name, got, foreign, c.want)
		}
	}
}

func TestUnobserved_wantsEveryParentToKnowTheRouteAsItIs(t *testing.T) {
	t.Parallel()
	const yes = `{conditions: [{type: Accepted, status: "True", observedGeneration: 7}, {type: ResolvedRefs, status: "True", observedGeneration: 7}], parentRef: {name: public, namespace: infra}}`
	for name, c := range map[string]struct{ wanted, parents, why string }{
		"known":                      {"[{name: public, namespace: infra}]", "[" + yes + "]", ""},
		"no parent":                  {"[]", "[]", "it has no parentRefs"},
		"nobody's":                   {"[{name: public, namespace: infra}]", "[]", "gateway public has not taken it"},
		"known to one of two":        {"[{name: public, namespace: infra}, {name: inner}]", "[" + yes + "]", "gateway inner has not taken it"},
		"as it was before":           {"[{name: public, namespace: infra}]", "[" + strings.ReplaceAll(yes, "7", "6") + "]", "of generation 6, the route has 7"},
		"refused":                    {"[{name: public, namespace: infra}]", "[" + strings.Replace(yes, `"True"`, `"False"`, 1) + "]", "Accepted is False"},
		"with a backend not there":   {"[{name: public, namespace: infra}]", "[" + strings.Replace(yes, `Refs, status: "True"`, `Refs, status: "False"`, 1) + "]", "ResolvedRefs is False"},
		"half told":                  {"[{name: public, namespace: infra}]", "[{conditions: [], parentRef: {name: public, namespace: infra}}]", "Accepted is not told"},
		"another section":            {"[{name: public, namespace: infra, sectionName: tls}]", "[" + yes + "]", "has not taken it"},
		"known to a second gateway ": {"[{name: public, namespace: infra}]", "[" + strings.ReplaceAll(yes, "7", "6") + ", " + yes + "]", ""},
	} {
		u := routeWith(t)
		for field, text := range map[string]string{"spec": "{parentRefs: " + c.wanted + "}", "status": "{parents: " + c.parents + "}"} {
			parsed := new(unstructured.Unstructured)
			if err := yaml.Unmarshal([]byte(text), &parsed.Object); err != nil {
				t.Fatal(err)
			}
			u.Object[field] = whole(parsed.Object)
		}
		if why := unobserved(u); c.why == "" && why != "" || !strings.Contains(why, c.why) {
			t.Errorf("%s: %q, want %q", name, why, c.why)
		}
	}
}

// whole makes the numbers of decoded YAML whole, as the API's are.
func whole(value any) any {
	switch v := value.(type) {
	case map[string]any:
		for key := range v {
			v[key] = whole(v[key])
		}
	case []any:
		for i := range v {
			v[i] = whole(v[i])
		}
	case float64:
		return int64(v)
	}
	return value
}

func TestPermanent_addsTheSecondServiceAndBothBackends(t *testing.T) {
	t.Parallel()
	service := new(unstructured.Unstructured)
	if err := yaml.Unmarshal([]byte(`{apiVersion: v1, kind: Service, metadata: {name: web, namespace: production, labels: {fibership.dev/service: web}},
		spec: {type: NodePort, clusterIP: 10.0.0.9, selector: {app: web}, ports: [{port: 80, nodePort: 30080}]}}`), &service.Object); err != nil {
		t.Fatal(err)
	}
	front := release.Describe(service)
	got, err := Permanent([]*unstructured.Unstructured{service, routeWith(t, "[{name: web, port: 80}]", "[{name: web, port: 80}, {name: other, port: 80}]")}, front, "")
	if err != nil || len(got) != 3 {
		t.Fatalf("%d objects, %v; want 3", len(got), err)
	}
	second := got[1]
	if second.GetName() != "web-canary" || !ForBeside(second) || ForBeside(got[0]) || second.GetLabels()["fibership.dev/service"] != "web" {
		t.Errorf("the second service is %v", second.Object)
	}
	if _, has, _ := unstructured.NestedString(second.Object, "spec", "clusterIP"); has || ports(second)[0]["nodePort"] != nil {
		t.Errorf("the second service takes what the first has: %v", second.Object)
	}
	lists, err := rules(got[2])
	if err != nil {
		t.Fatal(err)
	}
	if first := told(lists[0]); first != "Service web, Service web-canary" || lists[0][0].weight() != 100 || lists[0][1].weight() != 0 {
		t.Errorf("the first rule has %s", first)
	}
	if other := told(lists[1]); other != "Service web, Service other" {
		t.Errorf("the second rule has %s, want it as it was", other)
	}
	again, err := Permanent(got, front, "")
	if err != nil || len(again) != 3 {
		t.Errorf("made ready again: %d objects, %v; want 3", len(again), err)
	}
	for name, c := range map[string]struct {
		objects []*unstructured.Unstructured
		route   string
		err     string
	}{
		"no route named and none there": {[]*unstructured.Unstructured{service}, "", "0 HTTPRoutes"},
		"one elsewhere":                 {[]*unstructured.Unstructured{service}, "infra/web", ""},
		"no service":                    {nil, "web", "service web is not among the objects"},
	} {
		if _, err := Permanent(c.objects, front, c.route); c.err == "" && err != nil || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
			t.Errorf("%s: %v, want %q", name, err, c.err)
		}
	}
}
