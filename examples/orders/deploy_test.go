package main

import (
	"os"
	"testing"
	"time"

	"gopkg.in/yaml.v3"
)

// deployment is what the promise of a lossless end rests on.
type deployment struct {
	Spec struct {
		Strategy struct {
			RollingUpdate struct {
				MaxUnavailable *int `yaml:"maxUnavailable"`
			} `yaml:"rollingUpdate"`
		}
		Template struct {
			Spec struct {
				Grace      int `yaml:"terminationGracePeriodSeconds"`
				Containers []struct {
					Image string
					Env   []struct{ Name, Value string }
					Probe struct {
						HTTPGet struct{ Path string } `yaml:"httpGet"`
						Period  int                   `yaml:"periodSeconds"`
						Fails   int                   `yaml:"failureThreshold"`
					} `yaml:"readinessProbe"`
					Lifecycle struct {
						PreStop struct{ Sleep struct{ Seconds int } } `yaml:"preStop"`
					}
				}
			}
		}
	}
}

func TestDeployment_leavesTimeToDrain(t *testing.T) {
	text, err := os.ReadFile("deploy/base/deployment.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var d deployment
	if err := yaml.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	if most := d.Spec.Strategy.RollingUpdate.MaxUnavailable; most == nil || *most != 0 {
		t.Error("maxUnavailable is not 0")
	}
	pod := d.Spec.Template.Spec
	container := pod.Containers[0]
	environ := make(map[string]string)
	for _, v := range container.Env {
		environ[v.Name] = v.Value
	}
	cfg := testConfig(t, environ)

	sleep := time.Duration(container.Lifecycle.PreStop.Sleep.Seconds) * time.Second
	if needs, has := sleep+cfg.DrainDelay+cfg.ShutdownTimeout, time.Duration(pod.Grace)*time.Second; needs >= has {
		t.Errorf("an orderly end may take %s, the kubelet kills after %s", needs, has)
	}
	// A service that leaves by itself is seen only by its probe; then the news has to travel.
	probe := container.Probe
	if seen := time.Duration(probe.Period*probe.Fails) * time.Second; probe.HTTPGet.Path != "/readyz" || cfg.DrainDelay < seen+2*time.Second {
		t.Errorf("DRAIN_DELAY %s is too short for a probe of %s that needs %s", cfg.DrainDelay, probe.HTTPGet.Path, seen)
	}
	if container.Image != "IMAGE" {
		t.Errorf("image %q would not get the digest", container.Image)
	}
}

func TestFlagFile_beginsWithTheFlagsClosed(t *testing.T) {
	l := runService(t, testService(t, map[string]string{flagsFile: "deploy/flags.json"}))
	if got := l.share(t.Context()); got != 0 {
		t.Errorf("%d of 1000 customers have the express checkout", got)
	}
	if got := l.flags.provider(t.Context(), "ada"); got != house {
		t.Errorf("%s takes the money, want %s", got, house)
	}
}
