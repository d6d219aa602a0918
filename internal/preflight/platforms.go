package preflight

import (
	"context"
	"fmt"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"

	"github.com/fibership/fibership/internal/cluster"
)

// mostNodes bounds the list of nodes: in a larger cluster what the first ones
// are is no proof of what the others are not.
const mostNodes = 500

// platforms refuses an image that runs on none of the nodes that its pods may
// be put on: those that take pods and that the pod's own choice of nodes fits.
// Where no node fits, that choice is the scheduler's matter, not the image's.
func platforms(ctx context.Context, c *cluster.Client, r Release, groups []pods) (Result, error) {
	var result Result
	if len(r.Platforms) == 0 {
		return result, nil
	}
	result.Requests++
	nodes, err := c.Kube.CoreV1().Nodes().List(ctx, metav1.ListOptions{FieldSelector: "spec.unschedulable=false", Limit: mostNodes})
	if err != nil {
		if err := result.unseen("the platforms of the nodes", seen(err)); err != nil {
			return result, fmt.Errorf("list nodes: %w", err)
		}
		return result, nil
	}
	for _, g := range groups {
		if !runs(g.spec, r.Image) {
			continue
		}
		fit, unfit := split(nodes.Items, g.spec, r.Platforms)
		switch {
		case len(unfit) == 0:
		case len(fit) > 0 || nodes.Continue != "":
			result.warn(g.owner, "the image is for %s, and some nodes that its pods may be put on are %s: let nodeSelector choose kubernetes.io/arch, or build for these too", words(r.Platforms), strings.Join(unfit, ", "))
		default:
			result.fatal(g.owner, "the image is for %s, and the nodes that its pods may be put on are %s: build it for these", words(r.Platforms), strings.Join(unfit, ", "))
		}
	}
	return result, nil
}

func runs(spec corev1.PodSpec, image string) bool {
	return slices.ContainsFunc(slices.Concat(spec.InitContainers, spec.Containers), func(c corev1.Container) bool { return c.Image == image })
}

// split is the platforms of the nodes that a pod may be put on: of those that
// run one of the image's, and of those that do not.
func split(nodes []corev1.Node, spec corev1.PodSpec, platforms []v1.Platform) (fit, unfit []string) {
	chosen := nodeaffinity.GetRequiredNodeAffinity(&corev1.Pod{Spec: spec})
	for _, node := range nodes {
		os, arch := node.Labels[corev1.LabelOSStable], node.Labels[corev1.LabelArchStable]
		if may, err := chosen.Match(&node); err != nil || !may || os == "" || arch == "" {
			continue
		}
		list := &unfit
		if slices.ContainsFunc(platforms, func(p v1.Platform) bool { return p.OS == os && p.Architecture == arch }) {
			list = &fit
		}
		if name := os + "/" + arch; !slices.Contains(*list, name) {
			*list = append(*list, name)
		}
	}
	return fit, unfit
}

func words(platforms []v1.Platform) string {
	var names []string
	for _, p := range platforms {
		if name := p.OS + "/" + p.Architecture; !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return strings.Join(names, ", ")
}
