{{/* The pod of `helm test` and of Argo CD's Job. */}}

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

{{/* The health command speaks plaintext from outside of the mesh. With TLS or a mesh, it calls the admin port. */}}
{{- define "face-liveness-facade.testHealthAddress" -}}
{{- if or .Values.tls.enabled .Values.mesh.istio.enabled .Values.mesh.linkerd.enabled -}}
{{ include "face-liveness-facade.adminName" . }}:{{ .Values.ports.admin }}
{{- else -}}
{{ include "face-liveness-facade.fullname" . }}:{{ .Values.service.port }}
{{- end -}}
{{- end -}}

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
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
containers:
  - name: health
    image: {{ include "face-liveness-facade.image" . | quote }}
    {{- include "face-liveness-facade.testContainer" . | nindent 4 }}
    args: [health, --address, {{ include "face-liveness-facade.testHealthAddress" . | quote }}, --timeout, 30s]
  # Reads a session that does not exist. AWS's NotFound proves network, credentials, region and permission.
  - name: read
    image: {{ include "face-liveness-facade.image" . | quote }}
    {{- include "face-liveness-facade.testContainer" . | nindent 4 }}
    args: [check, --upstream-timeout, 30s]
    {{- with include "face-liveness-facade.testEnv" . }}
    env:
      {{- . | nindent 6 }}
    {{- end }}
    {{- with .Values.envFrom }}
    envFrom:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    {{- with .Values.extraVolumeMounts }}
    volumeMounts:
      {{- toYaml . | nindent 6 }}
    {{- end }}
  {{- if .Values.tests.grpcurlImage }}
  # The same call to the service. It must return NOT_FOUND: grpcurl exits with 64 plus the gRPC code, which is 5.
  - name: call
    image: {{ .Values.tests.grpcurlImage | quote }}
    {{- include "face-liveness-facade.testContainer" . | nindent 4 }}
    command: [sh, -c]
    args:
      - |
        grpcurl {{ .Values.tls.enabled | ternary "-insecure" "-plaintext" }} -max-time 30 -d '{"session_id":"00000000-0000-4000-8000-000000000000"}' \
          {{ include "face-liveness-facade.fullname" . }}:{{ .Values.service.port }} faceliveness.v1.FaceLivenessService/GetLivenessResult
        [ $? = 69 ]
  {{- end }}
{{- with .Values.extraVolumes }}
volumes:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "face-liveness-facade.testEnv" -}}
{{- include "face-liveness-facade.awsEnv" . | trim }}
{{- with .Values.env }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "face-liveness-facade.testContainer" -}}
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
