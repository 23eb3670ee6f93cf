{{/* The pods of `helm test`, and that of Argo CD's Job. */}}

{{- define "face-liveness-facade.testLabels" -}}
app.kubernetes.io/name: {{ include "face-liveness-facade.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: test
{{- end -}}

{{/* Not in the mesh, because the sidecar would keep the pod running. */}}
{{- define "face-liveness-facade.testPodLabels" -}}
{{- $labels := omit (include "face-liveness-facade.labels" (list . "test") | fromYaml) "helm.sh/chart" -}}
{{- if .Values.mesh.istio.enabled -}}
{{- $_ := set $labels "sidecar.istio.io/inject" "false" -}}
{{- end -}}
{{- toYaml $labels -}}
{{- end -}}

{{- define "face-liveness-facade.testPodAnnotations" -}}
{{- if .Values.mesh.linkerd.enabled -}}
linkerd.io/inject: disabled
{{- end -}}
{{- end -}}

{{/*
The metadata of a pod of `helm test`: (list . SUFFIX WEIGHT). Pods run one after the other, by weight. Helm before 4.1 deletes a pod before
`--logs` reads it (https://github.com/helm/helm/issues/9098), so there the pod stays until the next test.
*/}}
{{- define "face-liveness-facade.testMetadata" -}}
{{- $root := first . -}}
name: {{ include "face-liveness-facade.fullname" $root }}-test{{ index . 1 }}
namespace: {{ $root.Release.Namespace }}
labels:
  {{- include "face-liveness-facade.testPodLabels" $root | nindent 2 }}
annotations:
  {{- with include "face-liveness-facade.testPodAnnotations" $root }}
  {{- . | nindent 2 }}
  {{- end }}
  helm.sh/hook: test
  helm.sh/hook-weight: {{ index . 2 | quote }}
  helm.sh/hook-delete-policy: before-hook-creation{{ if include "face-liveness-facade.deletesTestPods" $root }},hook-succeeded,hook-failed{{ end }}
{{- end -}}

{{- define "face-liveness-facade.deletesTestPods" -}}
{{- if semverCompare ">=4.1.0-0" .Capabilities.HelmVersion.Version }}true{{ end -}}
{{- end -}}

{{/* The check speaks plaintext from outside of the mesh. With TLS or a mesh, it calls the admin port. */}}
{{- define "face-liveness-facade.testHealthAddress" -}}
{{- if or .Values.tls.enabled .Values.mesh.istio.enabled .Values.mesh.linkerd.enabled -}}
{{ include "face-liveness-facade.adminName" . }}:{{ .Values.ports.admin }}
{{- else -}}
{{ include "face-liveness-facade.fullname" . }}:{{ .Values.service.port }}
{{- end -}}
{{- end -}}

{{/* The spec without containers. */}}
{{- define "face-liveness-facade.testSpec" -}}
restartPolicy: Never
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
# The service account of the service, which has the AWS role.
serviceAccountName: {{ include "face-liveness-facade.serviceAccountName" . }}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  {{- toYaml .Values.podSecurityContext | nindent 2 }}
{{- with .Values.dnsConfig }}
dnsConfig:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.extraVolumes }}
volumes:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Checks the health, and reads a session that does not exist. AWS's NotFound proves network, credentials, region and permission. */}}
{{- define "face-liveness-facade.testCheck" -}}
name: check
image: {{ include "face-liveness-facade.image" . | quote }}
{{- include "face-liveness-facade.testContainer" . }}
args: [check, --server, {{ include "face-liveness-facade.testHealthAddress" . | quote }}, --upstream-timeout, 30s]
{{- with include "face-liveness-facade.testEnv" . }}
env:
  {{- . | nindent 2 }}
{{- end }}
{{- with .Values.envFrom }}
envFrom:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.extraVolumeMounts }}
volumeMounts:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* The same read through the service. It must return NOT_FOUND: grpcurl exits with 64 plus the gRPC code, which is 5. */}}
{{- define "face-liveness-facade.testCall" -}}
name: call
image: {{ .Values.tests.grpcurlImage | quote }}
{{- include "face-liveness-facade.testContainer" . }}
command: [sh, -c]
args:
  - |
    grpcurl {{ .Values.tls.enabled | ternary "-insecure" "-plaintext" }} -max-time 30 -d '{"session_id":"00000000-0000-4000-8000-000000000000"}' \
      {{ include "face-liveness-facade.fullname" . }}:{{ .Values.service.port }} faceliveness.v1.FaceLivenessService/GetLivenessResult
    [ $? = 69 ]
{{- end -}}

{{- define "face-liveness-facade.testEnv" -}}
{{- include "face-liveness-facade.awsEnv" . | trim }}
{{- with .Values.env }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "face-liveness-facade.testContainer" }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  {{- toYaml .Values.securityContext | nindent 2 }}
resources:
  requests:
    cpu: 10m
    memory: 64Mi
  limits:
    memory: 64Mi
{{- end -}}
