{{/* Parts of the pod. */}}

{{/* Without the chart's version, so that a new chart version alone does not restart the pods, which would empty their caches. */}}
{{- define "face-liveness-facade.podLabels" -}}
{{- $labels := omit (include "face-liveness-facade.labels" . | fromYaml) "helm.sh/chart" -}}
{{- if .Values.mesh.istio.inject -}}
{{- $_ := set $labels "sidecar.istio.io/inject" "true" -}}
{{- end -}}
{{- toYaml (merge $labels .Values.podLabels) -}}
{{- end -}}

{{/*
The admin port is excluded from the mesh, because the kubelet and Prometheus connect in plaintext from outside, and it has no personal data.
The sidecar must outlive the drain, because requests in flight need it. The agents for AWS credentials are on the node, so their addresses
bypass the sidecar.
*/}}
{{- define "face-liveness-facade.podAnnotations" -}}
{{- $annotations := dict -}}
{{- $drain := include "face-liveness-facade.drainSeconds" . -}}
{{- $admin := toString .Values.ports.admin -}}
{{- if .Values.mesh.istio.enabled -}}
{{- $_ := set $annotations "traffic.sidecar.istio.io/excludeInboundPorts" $admin -}}
{{- $_ := set $annotations "traffic.sidecar.istio.io/excludeOutboundIPRanges" "169.254.169.254/32,169.254.170.23/32" -}}
{{- $_ := set $annotations "proxy.istio.io/config" (printf "terminationDrainDuration: %ss" $drain) -}}
{{- end -}}
{{- if .Values.mesh.linkerd.enabled -}}
{{- $_ := set $annotations "linkerd.io/inject" "enabled" -}}
{{- $_ := set $annotations "config.linkerd.io/skip-inbound-ports" $admin -}}
{{- $_ := set $annotations "config.linkerd.io/skip-subnets" "169.254.169.254/32,169.254.170.23/32" -}}
{{- $_ := set $annotations "config.alpha.linkerd.io/proxy-wait-before-exit-seconds" $drain -}}
{{- if .Values.tls.enabled -}}
{{- $_ := set $annotations "config.linkerd.io/opaque-ports" (toString .Values.ports.grpc) -}}
{{- end -}}
{{- with .Values.mesh.linkerd.defaultInboundPolicy -}}
{{- $_ := set $annotations "config.linkerd.io/default-inbound-policy" . -}}
{{- end -}}
{{- end -}}
{{- /* Files mounted from these objects are read at start. */ -}}
{{- with .Values.extraObjects -}}
{{- $_ := set $annotations "checksum/extra-objects" (include "face-liveness-facade.extraObjects" $ | sha256sum) -}}
{{- end -}}
{{- with merge (deepCopy .Values.podAnnotations) $annotations -}}
{{- toYaml . -}}
{{- end -}}
{{- end -}}

{{/* A gRPC probe: (list . TIMINGS SERVICE). An empty service means the process. */}}
{{- define "face-liveness-facade.probe" -}}
{{- $grpc := dict "port" (int (index . 0).Values.ports.admin) -}}
{{- with index . 2 -}}{{- $_ := set $grpc "service" . -}}{{- end -}}
{{- toYaml (merge (dict "grpc" $grpc) (index . 1)) -}}
{{- end -}}

{{- define "face-liveness-facade.volumeMounts" -}}
{{- with .Values.tls }}
{{- if .enabled }}
- name: tls
  mountPath: /etc/face-liveness-facade/tls
  readOnly: true
{{- if or .clientCa.existingSecret .clientCa.existingConfigMap }}
- name: client-ca
  mountPath: /etc/face-liveness-facade/client-ca
  readOnly: true
{{- end }}
{{- end }}
{{- end }}
{{- if .Values.sessionRefKey.existingSecret }}
- name: session-ref
  mountPath: /etc/face-liveness-facade/session-ref
  readOnly: true
{{- end }}
{{- with .Values.sharedCache }}
{{- if .url }}
- name: shared-cache-key
  mountPath: /etc/face-liveness-facade/shared-cache-key
  readOnly: true
{{- if .auth.existingSecret }}
- name: shared-cache-auth
  mountPath: /etc/face-liveness-facade/shared-cache-auth
  readOnly: true
{{- end }}
{{- if or .ca.existingSecret .ca.existingConfigMap }}
- name: shared-cache-ca
  mountPath: /etc/face-liveness-facade/shared-cache-ca
  readOnly: true
{{- end }}
{{- end }}
{{- end }}
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Mounts folders, because Kubernetes does not update a file that is mounted with subPath. */}}
{{- define "face-liveness-facade.volumes" -}}
{{- with .Values.tls }}
{{- if .enabled }}
- name: tls
  secret:
    secretName: {{ include "face-liveness-facade.tlsSecret" $ }}
    defaultMode: 0440
{{- with .clientCa.existingSecret }}
- name: client-ca
  secret:
    secretName: {{ . }}
    defaultMode: 0440
{{- end }}
{{- with .clientCa.existingConfigMap }}
- name: client-ca
  configMap:
    name: {{ . }}
{{- end }}
{{- end }}
{{- end }}
{{- with .Values.sessionRefKey.existingSecret }}
- name: session-ref
  secret:
    secretName: {{ . }}
    defaultMode: 0440
{{- end }}
{{- with .Values.sharedCache }}
{{- if .url }}
- name: shared-cache-key
  secret:
    secretName: {{ .key.existingSecret }}
    defaultMode: 0440
{{- with .auth.existingSecret }}
- name: shared-cache-auth
  secret:
    secretName: {{ . }}
    defaultMode: 0440
{{- end }}
{{- with .ca.existingSecret }}
- name: shared-cache-ca
  secret:
    secretName: {{ . }}
    defaultMode: 0440
{{- end }}
{{- with .ca.existingConfigMap }}
- name: shared-cache-ca
  configMap:
    name: {{ . }}
{{- end }}
{{- end }}
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Spread within one revision, so that pods of the old one do not affect where new ones are scheduled. */}}
{{- define "face-liveness-facade.spread" -}}
{{- $own := dict
  "labelSelector" (dict "matchLabels" (include "face-liveness-facade.selectorLabels" . | fromYaml))
  "matchLabelKeys" (list "pod-template-hash") -}}
{{- $constraints := list -}}
{{- range .Values.topologySpreadConstraints -}}
{{- $constraints = append $constraints (hasKey . "labelSelector" | ternary . (merge (deepCopy .) $own)) -}}
{{- end -}}
{{- with $constraints }}{{ toYaml . }}{{ end -}}
{{- end -}}

{{- define "face-liveness-facade.extraObjects" -}}
{{- range .Values.extraObjects }}
---
{{ tpl (kindIs "string" . | ternary . (toYaml .)) $ }}
{{- end }}
{{- end -}}
