package check

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

// cluster is what was rendered, in Kubernetes' own types.
type cluster struct {
	pods     map[string]corev1.PodTemplateSpec // by kind and name
	replicas map[string]*int32
	services []corev1.Service
	budgets  []policyv1.PodDisruptionBudget
	scalers  []autoscalingv2.HorizontalPodAutoscaler
	policies []networkingv1.NetworkPolicy
	scaled   []scaledObject
	configs  map[string]corev1.ConfigMap
	sets     map[string]*metav1.LabelSelector
}

// scaledObject is KEDA's, whose types are not Kubernetes' own: what docs/deploy uses of
// keda.sh/v1alpha1, by its reference.
type scaledObject struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		ScaleTargetRef struct {
			APIVersion             string `json:"apiVersion,omitempty"`
			Kind                   string `json:"kind,omitempty"`
			Name                   string `json:"name"`
			EnvSourceContainerName string `json:"envSourceContainerName,omitempty"`
		} `json:"scaleTargetRef"`
		PollingInterval  *int32 `json:"pollingInterval,omitempty"`
		CooldownPeriod   *int32 `json:"cooldownPeriod,omitempty"`
		IdleReplicaCount *int32 `json:"idleReplicaCount,omitempty"`
		MinReplicaCount  *int32 `json:"minReplicaCount,omitempty"`
		MaxReplicaCount  *int32 `json:"maxReplicaCount,omitempty"`
		Fallback         *struct {
			FailureThreshold int32 `json:"failureThreshold"`
			Replicas         int32 `json:"replicas"`
		} `json:"fallback,omitempty"`
		Advanced *struct {
			RestoreToOriginalReplicaCount bool `json:"restoreToOriginalReplicaCount,omitempty"`
			HorizontalPodAutoscalerConfig *struct {
				Name     string                                         `json:"name,omitempty"`
				Behavior *autoscalingv2.HorizontalPodAutoscalerBehavior `json:"behavior,omitempty"`
			} `json:"horizontalPodAutoscalerConfig,omitempty"`
		} `json:"advanced,omitempty"`
		Triggers []struct {
			Type       string                         `json:"type"`
			Name       string                         `json:"name,omitempty"`
			Metadata   map[string]string              `json:"metadata"`
			MetricType autoscalingv2.MetricTargetType `json:"metricType,omitempty"`
		} `json:"triggers"`
	} `json:"spec"`
}

func render(dir string) (*cluster, error) {
	rendered, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), dir)
	if err != nil {
		return nil, err
	}
	c := &cluster{pods: map[string]corev1.PodTemplateSpec{}, replicas: map[string]*int32{}, configs: map[string]corev1.ConfigMap{}, sets: map[string]*metav1.LabelSelector{}}
	for _, r := range rendered.Resources() {
		text, err := r.AsYAML()
		if err != nil {
			return nil, err
		}
		at := r.GetKind() + "/" + r.GetName()
		decode := func(v any) error {
			if err := yaml.UnmarshalStrict(text, v); err != nil {
				return fmt.Errorf("%s: %w\n%s", at, err, text)
			}
			return nil
		}
		switch r.GetApiVersion() + " " + r.GetKind() {
		case "apps/v1 Deployment":
			var v appsv1.Deployment
			err = decode(&v)
			c.pods[at], c.sets[at], c.replicas[at] = v.Spec.Template, v.Spec.Selector, v.Spec.Replicas
		case "apps/v1 StatefulSet":
			var v appsv1.StatefulSet
			err = decode(&v)
			c.pods[at], c.sets[at], c.replicas[at] = v.Spec.Template, v.Spec.Selector, v.Spec.Replicas
		case "v1 Service":
			var v corev1.Service
			err = decode(&v)
			c.services = append(c.services, v)
		case "v1 ConfigMap":
			var v corev1.ConfigMap
			err = decode(&v)
			c.configs[v.Name] = v
		case "policy/v1 PodDisruptionBudget":
			var v policyv1.PodDisruptionBudget
			err = decode(&v)
			c.budgets = append(c.budgets, v)
		case "autoscaling/v2 HorizontalPodAutoscaler":
			var v autoscalingv2.HorizontalPodAutoscaler
			err = decode(&v)
			c.scalers = append(c.scalers, v)
		case "networking.k8s.io/v1 NetworkPolicy":
			var v networkingv1.NetworkPolicy
			err = decode(&v)
			c.policies = append(c.policies, v)
		case "keda.sh/v1alpha1 ScaledObject":
			var v scaledObject
			err = decode(&v)
			c.scaled = append(c.scaled, v)
		default:
			err = fmt.Errorf("%s of %s: not known here", at, r.GetApiVersion())
		}
		if err != nil {
			return nil, err
		}
	}
	return c, nil
}

// selects are the workloads whose pods a selector finds.
func (c *cluster) selects(t *testing.T, by *metav1.LabelSelector) (found []string) {
	t.Helper()
	s, err := metav1.LabelSelectorAsSelector(by)
	if err != nil {
		t.Fatal(err)
	}
	for at, pod := range c.pods {
		if s.Matches(labels.Set(pod.Labels)) {
			found = append(found, at)
		}
	}
	slices.Sort(found)
	return found
}

// reaches reports whether a policy lets a workload's pods out to a port.
func (c *cluster) reaches(t *testing.T, at string, port int) bool {
	t.Helper()
	return slices.ContainsFunc(c.policies, func(p networkingv1.NetworkPolicy) bool {
		return slices.Contains(c.selects(t, &p.Spec.PodSelector), at) && slices.ContainsFunc(p.Spec.Egress, func(out networkingv1.NetworkPolicyEgressRule) bool {
			return slices.ContainsFunc(out.Ports, func(o networkingv1.NetworkPolicyPort) bool { return o.Port.IntValue() == port })
		})
	})
}

func TestKubernetesTakesWhatIsRendered(t *testing.T) {
	for dir, want := range map[string][]string{
		"../kubernetes/base":  {"StatefulSet/collector", "StatefulSet/pipeline"},
		"../kubernetes/split": {"Deployment/admin", "Deployment/dispatcher", "Deployment/worker", "StatefulSet/collector"},
	} {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			c, err := render(dir)
			if err != nil {
				t.Fatal(err)
			}
			if got := slices.Sorted(maps.Keys(c.pods)); !slices.Equal(got, want) {
				t.Errorf("it has %v, want %v", got, want)
			}
			budget := map[string]bool{}
			for _, b := range c.budgets {
				for _, at := range c.selects(t, b.Spec.Selector) {
					budget[at] = true
				}
			}
			for at, pod := range c.pods {
				if found := c.selects(t, c.sets[at]); !slices.Equal(found, []string{at}) {
					t.Errorf("%s selects the pods of %v", at, found)
				}
				if !budget[at] && at != "Deployment/admin" {
					t.Errorf("%s has no disruption budget", at)
				}
				c.pod(t, at, pod)
			}
			for _, s := range c.services {
				found := c.selects(t, &metav1.LabelSelector{MatchLabels: s.Spec.Selector})
				if len(found) == 0 {
					t.Errorf("the service %s selects no pod", s.Name)
				}
				for _, at := range found {
					for _, p := range s.Spec.Ports {
						if !hasPort(c.pods[at], p.TargetPort.String()) {
							t.Errorf("the service %s asks for port %s, which %s has not", s.Name, p.TargetPort.String(), at)
						}
					}
				}
			}
			for _, h := range c.scalers {
				if at := h.Spec.ScaleTargetRef.Kind + "/" + h.Spec.ScaleTargetRef.Name; c.pods[at].Labels == nil {
					t.Errorf("%s scales %s, which is not there", h.Name, at)
				}
			}
			for _, s := range c.scaled {
				at := "Deployment/" + s.Spec.ScaleTargetRef.Name
				if c.pods[at].Labels == nil {
					t.Errorf("%s scales %s, which is not there", s.Name, at)
				}
				for _, tr := range s.Spec.Triggers {
					if tr.Type != "prometheus" || tr.Metadata["query"] == "" || tr.Metadata["threshold"] == "" || tr.Metadata["serverAddress"] == "" {
						t.Errorf("%s: a trigger that asks nothing: %+v", s.Name, tr)
					}
				}
			}
			// What nobody allows is denied, and every port that is allowed in is one that pods have.
			denied := false
			for _, p := range c.policies {
				denied = denied || len(p.Spec.PolicyTypes) == 2 && len(p.Spec.Ingress)+len(p.Spec.Egress) == 0 && len(c.selects(t, &p.Spec.PodSelector)) == len(c.pods)
				for _, in := range p.Spec.Ingress {
					for _, port := range in.Ports {
						if !slices.ContainsFunc(slices.Collect(maps.Values(c.pods)), func(pod corev1.PodTemplateSpec) bool { return hasPort(pod, port.Port.String()) }) {
							t.Errorf("%s lets in to port %s, which no pod has", p.Name, port.Port)
						}
					}
				}
			}
			if !denied {
				t.Error("no policy denies everything to every pod")
			}
			for at := range c.pods {
				needs := []int{6379, 443}
				if filepath.Base(dir) == "split" && at != "StatefulSet/collector" {
					needs = append(needs, 9000) // ClickHouse
				}
				for _, port := range needs {
					if !c.reaches(t, at, port) {
						t.Errorf("no policy lets %s out to port %d", at, port)
					}
				}
			}
		})
	}
}

func hasPort(pod corev1.PodTemplateSpec, name string) bool {
	for _, c := range pod.Spec.Containers {
		for _, p := range c.Ports {
			if p.Name == name || fmt.Sprint(p.ContainerPort) == name {
				return true
			}
		}
	}
	return false
}

// pod looks at one as an admission controller of the profile "restricted" does, and at what
// it refers to.
func (c *cluster) pod(t *testing.T, at string, pod corev1.PodTemplateSpec) {
	t.Helper()
	s := pod.Spec.SecurityContext
	if s == nil || s.RunAsNonRoot == nil || !*s.RunAsNonRoot || s.SeccompProfile == nil || s.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault {
		t.Errorf("%s may run as root, or without seccomp", at)
	}
	volumes := map[string]bool{}
	for _, v := range pod.Spec.Volumes {
		volumes[v.Name] = true
	}
	for i, k := range slices.Concat(pod.Spec.Containers, pod.Spec.InitContainers) {
		if x := k.SecurityContext; x == nil || x.ReadOnlyRootFilesystem == nil || !*x.ReadOnlyRootFilesystem || x.AllowPrivilegeEscalation == nil || *x.AllowPrivilegeEscalation ||
			x.Capabilities == nil || !slices.Equal(x.Capabilities.Drop, []corev1.Capability{"ALL"}) {
			t.Errorf("%s/%s is not confined", at, k.Name)
		}
		if !strings.Contains(k.Image, "/") || strings.HasSuffix(k.Image, ":latest") || !strings.Contains(k.Image, ":") {
			t.Errorf("%s/%s is of the image %q", at, k.Name, k.Image)
		}
		if k.Resources.Limits.Memory().IsZero() || k.Resources.Requests.Cpu().IsZero() {
			t.Errorf("%s/%s has no bounds", at, k.Name)
		}
		for name, probe := range map[string]*corev1.Probe{"startup": k.StartupProbe, "readiness": k.ReadinessProbe, "liveness": k.LivenessProbe} {
			if i >= len(pod.Spec.Containers) {
				break // one that ends is not asked
			}
			if probe == nil || probe.HTTPGet == nil || !hasPort(pod, probe.HTTPGet.Port.String()) {
				t.Errorf("%s/%s: the %s probe asks no port that it has", at, k.Name, name)
			}
		}
		for _, from := range k.EnvFrom {
			if from.ConfigMapRef == nil || c.configs[from.ConfigMapRef.Name].Data == nil {
				t.Errorf("%s/%s takes its environment from what is not there: %+v", at, k.Name, from)
			}
		}
		for _, m := range k.VolumeMounts {
			if m.Name != "data" && !volumes[m.Name] {
				t.Errorf("%s/%s mounts %s, which is not there", at, k.Name, m.Name)
			}
		}
	}
}

// podMonitor is what we use of the Prometheus Operator's, by its reference.
type podMonitor struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		JobLabel            string               `json:"jobLabel"`
		Selector            metav1.LabelSelector `json:"selector"`
		PodMetricsEndpoints []struct {
			Port     string `json:"port"`
			Interval string `json:"interval"`
		} `json:"podMetricsEndpoints"`
	} `json:"spec"`
}

func TestEveryPodIsMonitoredUnderTheJobThatTheRulesName(t *testing.T) {
	text, err := os.ReadFile("../kubernetes/podmonitor.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var m podMonitor
	if err := yaml.UnmarshalStrict(text, &m); err != nil {
		t.Fatal(err)
	}
	rules, err := os.ReadFile("../prometheus/rules.yml")
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"../kubernetes/base", "../kubernetes/split"} {
		c, err := render(dir)
		if err != nil {
			t.Fatal(err)
		}
		if found := c.selects(t, &m.Spec.Selector); len(found) != len(c.pods) {
			t.Errorf("%s: of %d workloads it finds %v", dir, len(c.pods), found)
		}
		for at, pod := range c.pods {
			if len(m.Spec.PodMetricsEndpoints) != 1 || !hasPort(pod, m.Spec.PodMetricsEndpoints[0].Port) {
				t.Errorf("%s has no port of %+v", at, m.Spec.PodMetricsEndpoints)
			}
			if job := pod.Labels[m.Spec.JobLabel]; job == "" || !strings.Contains(string(rules), `job="`+job+`"`) {
				t.Errorf("%s is of the job %q, which no rule names", at, job)
			}
		}
	}
}

// The check must be one that can fail.
func TestKubernetesRefusesWhatIsWrong(t *testing.T) {
	for name, c := range map[string][3]string{
		"an unknown field":     {"collector.yaml", "terminationGracePeriodSeconds", "terminationGraceSeconds"},
		"a value of the wrong": {"collector.yaml", "replicas: 3", "replicas: three"},
		"no such file":         {"kustomization.yaml", "- network.yaml", "- networks.yaml"},
	} {
		dir := t.TempDir()
		if err := os.CopyFS(dir, os.DirFS("../kubernetes/base")); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, c[0])
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		bad := strings.Replace(string(text), c[1], c[2], 1)
		if bad == string(text) {
			t.Errorf("%s: %s has no %q any more", name, c[0], c[1])
			continue
		}
		if err := os.WriteFile(path, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := render(dir); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}
