{{/* Labels of an object. Takes the root and the name of the component. */}}
{{- define "weft.labels" -}}
{{ include "weft.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
app.kubernetes.io/part-of: weft
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end }}

{{/* Labels that select the pods of a component, for ever the same. */}}
{{- define "weft.selector" -}}
app.kubernetes.io/name: {{ .component }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- end }}

{{/* Reference of an image. Takes the root, the image's name, and what was chosen in its place. */}}
{{- define "weft.image" -}}
{{- with .root.Values.image -}}
{{- $name := printf "%s/%s:%s" .repository $.name (.tag | default $.root.Chart.AppVersion) -}}
{{- $.chosen | default (ternary (printf "%s/%s" .registry $name) $name (ne .registry "")) -}}
{{- end -}}
{{- end }}

{{- define "weft.priorityClassName" -}}
{{ .Values.priorityClassName | default "weft" }}
{{- end }}

{{/* Namespaces whose pods never get a sidecar. */}}
{{- define "weft.excludedNamespaces" -}}
{{- $more := ternary .Values.cni.excludeNamespaces list (eq .Values.redirect "cni") -}}
{{ concat (list "kube-system" "kube-node-lease" .Release.Namespace) $more | uniq | toJson }}
{{- end }}

{{/* What the pods of both components have in common. Takes the root, the component's name and its values. */}}
{{- define "weft.pod" -}}
serviceAccountName: {{ .component }}
automountServiceAccountToken: {{ .token }}
priorityClassName: {{ include "weft.priorityClassName" .root }}
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  seccompProfile:
    type: RuntimeDefault
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
topologySpreadConstraints:
  {{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "weft.selector" $ | nindent 8 }}
    matchLabelKeys: [pod-template-hash]
  {{- end }}
nodeSelector:
  {{- merge (dict) .values.nodeSelector (dict "kubernetes.io/os" "linux") | toYaml | nindent 2 }}
{{- with .values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Clean under the Pod Security Standard "restricted". */}}
{{- define "weft.restricted" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{- define "weft.probes" -}}
readinessProbe:
  httpGet:
    path: /ready
    port: admin
  periodSeconds: 2
livenessProbe:
  httpGet:
    path: /live
    port: admin
  periodSeconds: 10
  timeoutSeconds: 5
{{- end }}

{{/* The ServiceAccount of a component. */}}
{{- define "weft.account" -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ .component }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "weft.labels" . | nindent 4 }}
# The pods that need it ask for it themselves.
automountServiceAccountToken: false
{{- end }}

{{/* Lets in nothing but the ports of a component. */}}
{{- define "weft.networkPolicy" -}}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: {{ .component }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "weft.labels" . | nindent 4 }}
spec:
  podSelector:
    matchLabels:
      {{- include "weft.selector" . | nindent 6 }}
  policyTypes: [Ingress]
  # From anywhere: sidecars, API servers and Prometheus have addresses that a chart cannot know.
  ingress:
    - ports:
        {{- range .ports }}
        - port: {{ . }}
          protocol: TCP
        {{- end }}
{{- end }}

{{/* Objects beside the Deployment of a component. Takes the root, the component's name and its values. */}}
{{- define "weft.companions" -}}
{{ include "weft.account" . }}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ .component }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "weft.labels" . | nindent 4 }}
spec:
  maxUnavailable: 1
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels:
      {{- include "weft.selector" . | nindent 6 }}
{{- with .values.autoscaling }}
{{- if .enabled }}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  name: {{ $.component }}
  namespace: {{ $.root.Release.Namespace }}
  labels:
    {{- include "weft.labels" $ | nindent 4 }}
spec:
  scaleTargetRef:
    apiVersion: apps/v1
    kind: Deployment
    name: {{ $.component }}
  minReplicas: {{ .minReplicas }}
  maxReplicas: {{ .maxReplicas }}
  metrics:
    - type: Resource
      resource:
        name: cpu
        target:
          type: Utilization
          averageUtilization: {{ .targetCPUUtilizationPercentage }}
{{- end }}
{{- end }}
{{- if .root.Values.networkPolicy.enabled }}
---
{{ include "weft.networkPolicy" . }}
{{- end }}
{{- end }}

{{/* The Deployment's head. Takes the root, the component's name and its values. */}}
{{- define "weft.deployment" -}}
{{- if not .values.autoscaling.enabled }}
replicas: {{ .values.replicas }}
{{- end }}
strategy:
  type: RollingUpdate
  rollingUpdate:
    maxUnavailable: 0
    maxSurge: 1
selector:
  matchLabels:
    {{- include "weft.selector" . | nindent 4 }}
{{- end }}
