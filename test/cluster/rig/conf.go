//go:build linux

package rig

import (
	"bytes"
	"embed"
	"fmt"
	"os"
	"path/filepath"
	"text/template"
)

//go:embed conf
var confFiles embed.FS

// settings are what the configuration files leave open.
type settings struct {
	CgroupRoot     string // name of the control group that holds every pod, directly below the root
	NetworkPlugins string // folder of the CNI plugins
	Runc           string // path of runc
	NodeAddress    string
	PodNetwork     string // CIDR
	Registry       string // host:port
	PauseImage     string
}

// confTargets says where below confDir each file of conf/ goes.
var confTargets = map[string]string{
	"containerd.toml": "containerd.toml",
	"cni.json":        "cni/10-fibership.conflist",
	"hosts.toml":      "registries/" + RegistryAddress + "/hosts.toml",
	"kubelet.yaml":    "kubelet.yaml",
	"kube-proxy.yaml": "kube-proxy.yaml",
}

// writeConf renders every configuration file into dir.
func writeConf(dir string, with settings) error {
	for source, target := range confTargets {
		content, err := renderConf(source, with)
		if err != nil {
			return err
		}
		path := filepath.Join(dir, target)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, content, 0o644); err != nil {
			return err
		}
	}
	return nil
}

func renderConf(source string, with settings) ([]byte, error) {
	parsed, err := template.New(source).Option("missingkey=error").ParseFS(confFiles, "conf/"+source)
	if err != nil {
		return nil, fmt.Errorf("parse %s: %w", source, err)
	}
	var content bytes.Buffer
	if err := parsed.Execute(&content, with); err != nil {
		return nil, fmt.Errorf("render %s: %w", source, err)
	}
	return content.Bytes(), nil
}
