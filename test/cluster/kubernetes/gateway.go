package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	core "k8s.io/api/core/v1"
	extensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	clientset "k8s.io/apiextensions-apiserver/pkg/client/clientset/clientset"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/yaml"
)

// What package rig knows too.
const (
	gatewayNamespace = "gateway-system"
	gatewayLabel     = "fibership.dev/gateway"
)

// gatewayController is the name under which Traefik looks for the classes that are its own.
const gatewayController = "traefik.io/gateway-controller"

var gatewayVersion = schema.GroupVersion{Group: "gateway.networking.k8s.io", Version: "v1"}

// gatewayAPI brings the Gateway API's types and, for each name and port, a GatewayClass and a Gateway.
type gatewayAPI struct {
	core    kubernetes.Interface
	types   clientset.Interface
	objects dynamic.Interface
}

func newGatewayCommand() *cobra.Command {
	var kubeconfig, folder string
	var gateways []string
	command := &cobra.Command{
		Use:           "gateway-api",
		Short:         "Bring the Gateway API's types and Gateways into a fresh cluster",
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(command *cobra.Command, _ []string) error {
			g, err := newGatewayAPI(kubeconfig)
			if err != nil {
				return err
			}
			if err := g.install(command.Context(), folder); err != nil {
				return err
			}
			for _, gateway := range gateways {
				name, port, _ := strings.Cut(gateway, ":")
				number, err := strconv.ParseInt(port, 10, 32)
				if err != nil {
					return fmt.Errorf("gateway %q: expected name:port", gateway)
				}
				if err := g.create(command.Context(), name, number); err != nil {
					return err
				}
			}
			fmt.Println("Gateway API is there")
			return nil
		},
	}
	command.Flags().StringVar(&kubeconfig, "kubeconfig", "", "path of the administrator's kubeconfig")
	command.Flags().StringVar(&folder, "types", "", "folder of the CustomResourceDefinitions")
	command.Flags().StringArrayVar(&gateways, "gateway", nil, "name:port of a Gateway; once for each")
	return command
}

func newGatewayAPI(kubeconfig string) (*gatewayAPI, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", kubeconfig, err)
	}
	config.QPS = -1 // no limit of its own
	g := &gatewayAPI{}
	if g.core, err = kubernetes.NewForConfig(config); err != nil {
		return nil, err
	}
	if g.types, err = clientset.NewForConfig(config); err != nil {
		return nil, err
	}
	g.objects, err = dynamic.NewForConfig(config)
	return g, err
}

// install creates the types and waits until the API server serves them.
func (g *gatewayAPI) install(ctx context.Context, folder string) error {
	files, err := filepath.Glob(filepath.Join(folder, "*.yaml"))
	if err != nil {
		return err
	}
	if len(files) == 0 {
		return fmt.Errorf("no types in %s", folder)
	}
	definitions := g.types.ApiextensionsV1().CustomResourceDefinitions()
	var names []string
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		var definition extensions.CustomResourceDefinition
		if err := yaml.Unmarshal(content, &definition); err != nil {
			return fmt.Errorf("read %s: %w", file, err)
		}
		if _, err := definitions.Create(ctx, &definition, meta.CreateOptions{}); err != nil {
			return fmt.Errorf("create type %s: %w", definition.Name, err)
		}
		names = append(names, definition.Name)
	}
	for _, name := range names {
		err := until(ctx, "type "+name+" is served", func(ctx context.Context) (bool, error) {
			seen, err := definitions.Get(ctx, name, meta.GetOptions{})
			if err != nil {
				return false, err
			}
			for _, condition := range seen.Status.Conditions {
				if condition.Type == extensions.Established {
					return condition.Status == extensions.ConditionTrue, nil
				}
			}
			return false, nil
		})
		if err != nil {
			return err
		}
	}
	namespace := &core.Namespace{ObjectMeta: meta.ObjectMeta{Name: gatewayNamespace}}
	_, err = g.core.CoreV1().Namespaces().Create(ctx, namespace, meta.CreateOptions{})
	return err
}

// create makes a class that one Traefik alone looks at, by its label, and the Gateway of the same name.
func (g *gatewayAPI) create(ctx context.Context, name string, port int64) error {
	class := newObject("GatewayClass", name, map[string]any{"controllerName": gatewayController})
	class.SetLabels(map[string]string{gatewayLabel: name})
	_, err := g.objects.Resource(gatewayVersion.WithResource("gatewayclasses")).Create(ctx, class, meta.CreateOptions{})
	if err != nil {
		return fmt.Errorf("create GatewayClass %s: %w", name, err)
	}
	gateway := newObject("Gateway", name, map[string]any{
		"gatewayClassName": name,
		"listeners": []any{map[string]any{
			"name": "http", "protocol": "HTTP", "port": port,
			"allowedRoutes": map[string]any{"namespaces": map[string]any{"from": "All"}},
		}},
	})
	_, err = g.objects.Resource(gatewayVersion.WithResource("gateways")).Namespace(gatewayNamespace).Create(ctx, gateway, meta.CreateOptions{})
	if err != nil {
		return fmt.Errorf("create Gateway %s: %w", name, err)
	}
	return nil
}

func newObject(kind, name string, spec map[string]any) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": gatewayVersion.String(), "kind": kind,
		"metadata": map[string]any{"name": name},
		"spec":     spec,
	}}
}
