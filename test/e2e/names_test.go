package e2e

import (
	"testing"

	"github.com/fibership/fibership/internal/release"
)

// Environments of GitHub have names that nothing in Kubernetes could have.
func TestEnvironments_haveAnyName(t *testing.T) {
	p := newPlace(t)
	const staging, production = "Staging (EU)", "Production/EU 1"
	one, two := p.image("1"), p.image("2")
	for _, image := range []string{one, two} {
		p.deploy(image, map[string]string{"environment": staging})
		o := p.run(0, "promote", map[string]string{"environment": production, "from": staging, "strategy": "rolling", "watch": "0s"})
		outputs(t, o, map[string]string{"status": "succeeded", "image": image})
	}
	o := p.run(0, "rollback", map[string]string{"environment": production})
	outputs(t, o, map[string]string{"status": "succeeded", "release": "3", "restored-release": "1"})
	if got := decode[release.Record](t, o.Outputs["record"]).Environment; got != production {
		t.Errorf("environment %q", got)
	}
	p.settled(one)
	// Another one of a name that is alike has nothing of it.
	o = p.run(0, "rollback", map[string]string{"environment": "production-eu-1", "list": "true"})
	outputs(t, o, map[string]string{"history": "[]"})
	// No namespace can have such a name.
	o = p.run(2, "rollback", map[string]string{"environment": production, "namespace": ""})
	contains(t, o.Log, "Wrong input%3A namespace", "is no namespace, give one")
}

// What passed once is promoted by its name, also when staging has gone on.
func TestPromote_takesWhatPassedBefore(t *testing.T) {
	p := newPlace(t)
	one, two := p.image("1"), p.image("2")
	p.deploy(one, nil)
	p.deploy(two, nil)
	o := p.run(0, "promote", map[string]string{"image": one, "strategy": "rolling", "watch": "0s"})
	outputs(t, o, map[string]string{"status": "succeeded", "image": one})
	contains(t, o.Log, "release 1 of web passed in staging", "no pods are left to compare it with")
	p.settled(one)
}
