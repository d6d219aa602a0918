//go:build linux

package rig

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

var example = settings{
	CgroupRoot:     "fibership-1234",
	NetworkPlugins: "/opt/cni/bin",
	Runc:           "/usr/bin/runc",
	NodeAddress:    nodeAddress,
	PodNetwork:     podNetwork,
	Registry:       RegistryAddress,
	PauseImage:     pauseImage,
}

func TestWriteConf_writesEveryFileOfConf(t *testing.T) {
	dir := t.TempDir()
	if err := writeConf(dir, example); err != nil {
		t.Fatal(err)
	}
	sources, err := confFiles.ReadDir("conf")
	if err != nil {
		t.Fatal(err)
	}
	for _, source := range sources {
		content, err := os.ReadFile(filepath.Join(dir, confTargets[source.Name()]))
		if err != nil {
			t.Errorf("%s has no target: %v", source.Name(), err)
		}
		if strings.Contains(string(content), "{{") {
			t.Errorf("%s is not rendered:\n%s", source.Name(), content)
		}
	}
}

func TestRenderConf_putsPodsIntoTheClustersControlGroup(t *testing.T) {
	content, err := renderConf("kubelet.yaml", example)
	if err != nil {
		t.Fatal(err)
	}
	var kubelet struct {
		CgroupRoot string   `json:"cgroupRoot"`
		ClusterDNS []string `json:"clusterDNS"`
	}
	if err := yaml.Unmarshal(content, &kubelet); err != nil {
		t.Fatal(err)
	}
	if kubelet.CgroupRoot != "/fibership-1234" || len(kubelet.ClusterDNS) != 1 || kubelet.ClusterDNS[0] != nodeAddress {
		t.Errorf("got %+v", kubelet)
	}
}
