//go:build linux

package rig

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// pluginFolders are where distributions put CNI plugins.
var pluginFolders = []string{"/usr/lib/cni", "/opt/cni/bin", "/usr/libexec/cni"}

// networkPlugins is the folder that has the CNI plugins of conf/cni.json.
func networkPlugins() (string, error) {
	for _, folder := range pluginFolders {
		_, ptp := os.Stat(filepath.Join(folder, "ptp"))
		_, local := os.Stat(filepath.Join(folder, "host-local"))
		if ptp == nil && local == nil {
			return folder, nil
		}
	}
	return "", fmt.Errorf("find the CNI plugins ptp and host-local: not in %s", strings.Join(pluginFolders, ", "))
}
