package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	admission "k8s.io/api/admissionregistration/v1beta1"
	core "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

// poll is how often bootstrap looks. Nobody else talks to the API server yet.
const poll = 50 * time.Millisecond

// allocatableCPU is what the node claims to have for pods, however many processors there are: tests start many pods
// that do next to nothing, and their requests would not fit on a small machine.
const allocatableCPU = "16"

type bootstrap struct {
	client     kubernetes.Interface
	node       string
	image      string
	nameServer string // host:port
}

// newBootstrapCommand fills a fresh API server with what the cluster needs of its own, waits until the cluster serves
// and prints a line for each step. It ends with the first pod: only that shows that containers start.
func newBootstrapCommand() *cobra.Command {
	var kubeconfig string
	var b bootstrap
	command := &cobra.Command{
		Use:           "bootstrap",
		Short:         "Prepare a fresh cluster and wait for its first pod",
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(command *cobra.Command, _ []string) error {
			client, err := newClient(kubeconfig)
			if err != nil {
				return err
			}
			b.client = client
			for _, step := range []struct {
				done string
				run  func(context.Context) error
			}{
				{"node is ready", b.nodeReady},
				{"service accounts are there", b.serviceAccount},
				{"names resolve", b.names},
				{"pods start", b.pod},
			} {
				if err := step.run(command.Context()); err != nil {
					return err
				}
				fmt.Println(step.done)
			}
			return nil
		},
	}
	command.Flags().StringVar(&kubeconfig, "kubeconfig", "", "path of the administrator's kubeconfig")
	command.Flags().StringVar(&b.node, "node", "", "name of the node")
	command.Flags().StringVar(&b.image, "image", "", "image of the first pod")
	command.Flags().StringVar(&b.nameServer, "name-server", "", "host:port of the cluster's name server")
	return command
}

func newClient(kubeconfig string) (kubernetes.Interface, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", kubeconfig, err)
	}
	config.QPS = -1 // no limit of its own
	return kubernetes.NewForConfig(config)
}

func (b *bootstrap) nodeReady(ctx context.Context) error {
	if err := b.raiseCapacity(ctx); err != nil {
		return err
	}
	return until(ctx, "the node is ready", func(ctx context.Context) (bool, error) {
		node, err := b.client.CoreV1().Nodes().Get(ctx, b.node, meta.GetOptions{})
		if err != nil {
			return false, err
		}
		for _, condition := range node.Status.Conditions {
			if condition.Type == core.NodeReady {
				return condition.Status == core.ConditionTrue, nil
			}
		}
		return false, nil
	})
}

// raiseCapacity has the API server put allocatableCPU into whatever the kubelet reports.
func (b *bootstrap) raiseCapacity(ctx context.Context) error {
	const name = "allocatable-cpu"
	fail, never := admission.Fail, admission.NeverReinvocationPolicy
	equivalent, scope := admission.Equivalent, admission.ClusterScope
	policy := &admission.MutatingAdmissionPolicy{
		ObjectMeta: meta.ObjectMeta{Name: name},
		Spec: admission.MutatingAdmissionPolicySpec{
			FailurePolicy:      &fail,
			ReinvocationPolicy: never,
			MatchConstraints: &admission.MatchResources{
				MatchPolicy: &equivalent,
				ResourceRules: []admission.NamedRuleWithOperations{{RuleWithOperations: admission.RuleWithOperations{
					Operations: []admission.OperationType{admission.Create, admission.Update},
					Rule: admission.Rule{
						APIGroups: []string{""}, APIVersions: []string{"v1"},
						Resources: []string{"nodes", "nodes/status"}, Scope: &scope,
					},
				}}},
			},
			MatchConditions: []admission.MatchCondition{{
				Name:       "reported",
				Expression: "has(object.status) && has(object.status.allocatable) && 'cpu' in object.status.allocatable",
			}},
			Mutations: []admission.Mutation{{
				PatchType: admission.PatchTypeJSONPatch,
				JSONPatch: &admission.JSONPatch{
					Expression: fmt.Sprintf("[JSONPatch{op: 'replace', path: '/status/allocatable/cpu', value: %q}]", allocatableCPU),
				},
			}},
		},
	}
	binding := &admission.MutatingAdmissionPolicyBinding{
		ObjectMeta: meta.ObjectMeta{Name: name},
		Spec:       admission.MutatingAdmissionPolicyBindingSpec{PolicyName: name},
	}
	_, err := b.client.AdmissionregistrationV1beta1().MutatingAdmissionPolicies().Create(ctx, policy, meta.CreateOptions{})
	if err != nil {
		return fmt.Errorf("create the policy on the node's capacity: %w", err)
	}
	_, err = b.client.AdmissionregistrationV1beta1().MutatingAdmissionPolicyBindings().Create(ctx, binding, meta.CreateOptions{})
	if err != nil {
		return fmt.Errorf("bind the policy on the node's capacity: %w", err)
	}
	return nil
}

func (b *bootstrap) serviceAccount(ctx context.Context) error {
	return until(ctx, "the default service account is there", func(ctx context.Context) (bool, error) {
		_, err := b.client.CoreV1().ServiceAccounts(meta.NamespaceDefault).Get(ctx, "default", meta.GetOptions{})
		return err == nil, err
	})
}

func (b *bootstrap) names(ctx context.Context) error {
	return waitForName(ctx, b.nameServer, "kubernetes.default.svc.cluster.local")
}

func (b *bootstrap) pod(ctx context.Context) error {
	pods := b.client.CoreV1().Pods(meta.NamespaceDefault)
	pod := &core.Pod{
		ObjectMeta: meta.ObjectMeta{Name: "first"},
		Spec:       core.PodSpec{Containers: []core.Container{{Name: "pause", Image: b.image}}},
	}
	if _, err := pods.Create(ctx, pod, meta.CreateOptions{}); err != nil {
		return fmt.Errorf("create the first pod: %w", err)
	}
	err := until(ctx, "the first pod runs", func(ctx context.Context) (bool, error) {
		seen, err := pods.Get(ctx, pod.Name, meta.GetOptions{})
		if err != nil {
			return false, err
		}
		return seen.Status.Phase == core.PodRunning, nil
	})
	if err != nil {
		return err
	}
	var now int64
	if err := pods.Delete(ctx, pod.Name, meta.DeleteOptions{GracePeriodSeconds: &now}); err != nil {
		return fmt.Errorf("delete the first pod: %w", err)
	}
	return nil
}

// until waits for a condition, patient with objects that are not there yet.
func until(ctx context.Context, what string, holds wait.ConditionWithContextFunc) error {
	err := wait.PollUntilContextCancel(ctx, poll, true, func(ctx context.Context) (bool, error) {
		ok, err := holds(ctx)
		if apierrors.IsNotFound(err) {
			return false, nil
		}
		return ok, err
	})
	if err != nil {
		return fmt.Errorf("wait until %s: %w", what, err)
	}
	return nil
}
