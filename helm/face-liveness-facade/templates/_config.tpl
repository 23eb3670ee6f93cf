{{/* The environment of the container, and the grace period and the memory that follow from it. */}}

{{/* Formats a value for the binary. Helm's integers are floats, and it would write large ones as 1e+06. */}}
{{- define "face-liveness-facade.scalar" -}}
{{- if kindIs "slice" . }}{{ join "," . }}
{{- else if kindIs "float64" . }}{{ if eq . (floor .) }}{{ int64 . }}{{ else }}{{ . }}{{ end }}
{{- else }}{{ . }}
{{- end }}
{{- end -}}

{{/*
Returns the value of an option, or the binary's default: (list . NAME). With a headless Service, the drain delay is 45 s:
clients resolve the name at most every 30 s, and DNS servers may serve a record for 5 s more. A pod that shuts down earlier
would leave a client with addresses of stopped pods only.
*/}}
{{- define "face-liveness-facade.option" -}}
{{- $root := first . -}}{{- $name := last . -}}
{{- if hasKey $root.Values.config $name -}}
{{- include "face-liveness-facade.scalar" (get $root.Values.config $name) -}}
{{- else if and (eq $name "drainDelay") $root.Values.service.headless -}}
45s
{{- else -}}
{{- $options := $root.Files.Get "files/options.json" | fromJson -}}
{{- get (get $options $name) "default" -}}
{{- end -}}
{{- end -}}

{{- define "face-liveness-facade.milliseconds" -}}
{{- $units := dict "ms" 1 "s" 1000 "m" 60000 "h" 3600000 "d" 86400000 -}}
{{- $sum := 0.0 -}}
{{- range regexFindAll "[0-9]+(\\.[0-9]+)?(ms|s|m|h|d)" . -1 -}}
{{- $sum = addf $sum (mulf (regexFind "^[0-9.]+" . | float64) (get $units (regexFind "[a-z]+$" .))) -}}
{{- end -}}
{{- printf "%f" $sum -}}
{{- end -}}

{{/* Parses bytes, in the binary's notation (256MiB) or in that of Kubernetes (256Mi), whose m is a thousandth. */}}
{{- define "face-liveness-facade.bytes" -}}
{{- $units := dict "" 1 "k" 1000 "Ki" 1024 "M" 1000000 "Mi" 1048576 "G" 1000000000 "Gi" 1073741824 -}}
{{- $unit := regexFind "[a-zA-Z]*$" . | trimSuffix "B" -}}
{{- if not (and (hasKey $units $unit) (regexMatch "^[0-9]+(\\.[0-9]+)? ?[a-zA-Z]*$" .)) -}}
{{- fail (printf "%q is neither a size such as 256MiB nor a quantity such as 256Mi" .) -}}
{{- end -}}
{{- mulf (regexFind "^[0-9.]+" . | float64) (get $units $unit) | ceil | int64 -}}
{{- end -}}

{{/* The maximum duration of a shutdown. */}}
{{- define "face-liveness-facade.drainSeconds" -}}
{{- $delay := include "face-liveness-facade.option" (list . "drainDelay") | include "face-liveness-facade.milliseconds" -}}
{{- $timeout := include "face-liveness-facade.option" (list . "drainTimeout") | include "face-liveness-facade.milliseconds" -}}
{{- divf (addf $delay $timeout) 1000 | ceil | int64 -}}
{{- end -}}

{{/* Five seconds more, for the kubelet's delay and the exit of the process. */}}
{{- define "face-liveness-facade.leastGracePeriod" -}}
{{- add (include "face-liveness-facade.drainSeconds" .) 5 -}}
{{- end -}}

{{/*
The maximum memory of the pod, in MiB:

  imageCacheSize
  + resultCacheEntries x 1.25 KiB  a result, its key, and the overhead of the cache
  + maxRequests        x   14 KiB  a waiting request, and its share of the poll of the session
  + maxConnections     x  140 KiB  a connection with incomplete headers and a health watch, and 10% more connections above the limit
  + 288 MiB                        everything with a fixed limit: images in flight, the admin port, the log, the process

docs/sizing.md has each limit, and tests/integration/memory.rs measures them.
*/}}
{{- define "face-liveness-facade.leastMemory" -}}
{{- $images := include "face-liveness-facade.option" (list . "imageCacheSize") | include "face-liveness-facade.bytes" | int64 -}}
{{- $entries := include "face-liveness-facade.option" (list . "resultCacheEntries") | int64 -}}
{{- $requests := include "face-liveness-facade.option" (list . "maxRequests") | int64 -}}
{{- $connections := include "face-liveness-facade.option" (list . "maxConnections") | int64 -}}
{{- $bytes := add $images (mul 1280 $entries) (mul 1024 (add (mul 14 $requests) (mul 140 $connections))) -}}
{{- add 288 (divf $bytes 1048576 | ceil | int64) -}}
{{- end -}}

{{- define "face-liveness-facade.resources" -}}
{{- $resources := deepCopy .Values.resources -}}
{{- $computed := printf "%sMi" (include "face-liveness-facade.leastMemory" .) -}}
{{- $limits := merge (default dict $resources.limits) (dict "memory" $computed) -}}
{{- toYaml (merge (dict "limits" $limits) $resources) -}}
{{- end -}}

{{/*
The number of pods. With an autoscaler, exactly the current number: without a number in the manifest, Kubernetes would scale to one pod when the
autoscaler is enabled in an installed release, and another number would conflict with that of the autoscaler in Helm 4's server-side apply. Empty
where Helm cannot look it up: on the first install, and for `helm template`.
*/}}
{{- define "face-liveness-facade.replicas" -}}
{{- if not .Values.autoscaling.enabled -}}
{{- .Values.replicaCount -}}
{{- else -}}
{{- with lookup "apps/v1" "Deployment" .Release.Namespace (include "face-liveness-facade.fullname" .) -}}
{{- .spec.replicas -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Not in the environment of the pods, so that another number of pods does not restart them, which would empty their caches. */}}
{{- define "face-liveness-facade.quotaReplicas" -}}
{{- max 1 (ternary .Values.autoscaling.minReplicas .Values.replicaCount .Values.autoscaling.enabled | int64) -}}
{{- end -}}

{{/* The environment of AWS's SDK, in the service and in the test pod. */}}
{{- define "face-liveness-facade.awsEnv" -}}
{{- with .Values.aws.region }}
- name: AWS_REGION
  value: {{ . | quote }}
{{- end }}
{{- if not .Values.aws.imds }}
- name: AWS_EC2_METADATA_DISABLED
  value: "true"
{{- end }}
{{- end -}}

{{- define "face-liveness-facade.ownEnv" -}}
{{- $variables := dict
  "FACE_LIVENESS_LISTEN" (printf "[::]:%d" (int .Values.ports.grpc))
  "FACE_LIVENESS_ADMIN_LISTEN" (printf "[::]:%d" (int .Values.ports.admin)) -}}
{{- if .Values.service.headless -}}
{{- $_ := set $variables "FACE_LIVENESS_DRAIN_DELAY" (include "face-liveness-facade.option" (list . "drainDelay")) -}}
{{- end -}}
{{- $options := .Files.Get "files/options.json" | fromJson -}}
{{- range $name, $value := .Values.config -}}
{{- $option := get $options $name | required (printf "config.%s is not an option of serve" $name) -}}
{{- $_ := set $variables $option.variable (include "face-liveness-facade.scalar" $value) -}}
{{- end -}}
{{- with .Values.tls -}}
{{- if .enabled -}}
{{- $_ := set $variables "FACE_LIVENESS_TLS_CERT" "/etc/face-liveness-facade/tls/tls.crt" -}}
{{- $_ := set $variables "FACE_LIVENESS_TLS_KEY" "/etc/face-liveness-facade/tls/tls.key" -}}
{{- if or .clientCa.existingSecret .clientCa.existingConfigMap -}}
{{- $_ := set $variables "FACE_LIVENESS_TLS_CLIENT_CA" (printf "/etc/face-liveness-facade/client-ca/%s" .clientCa.key) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- with .Values.sessionRefKey -}}
{{- if .existingSecret -}}
{{- $_ := set $variables "FACE_LIVENESS_SESSION_REF_KEY_FILE" (printf "/etc/face-liveness-facade/session-ref/%s" .key) -}}
{{- end -}}
{{- end -}}
{{- with .Values.sharedCache -}}
{{- if .url -}}
{{- $_ := set $variables "FACE_LIVENESS_SHARED_CACHE_URL" .url -}}
{{- $_ := set $variables "FACE_LIVENESS_SHARED_CACHE_KEY_FILE" (printf "/etc/face-liveness-facade/shared-cache-key/%s" .key.key) -}}
{{- $_ := set $variables "FACE_LIVENESS_SHARED_CACHE_IMAGES" (toString .images) -}}
{{- with .timeout -}}
{{- $_ := set $variables "FACE_LIVENESS_SHARED_CACHE_TIMEOUT" . -}}
{{- end -}}
{{- if .auth.existingSecret -}}
{{- with .auth.passwordKey -}}
{{- $_ := set $variables "FACE_LIVENESS_SHARED_CACHE_PASSWORD_FILE" (printf "/etc/face-liveness-facade/shared-cache-auth/%s" .) -}}
{{- end -}}
{{- with .auth.usernameKey -}}
{{- $_ := set $variables "FACE_LIVENESS_SHARED_CACHE_USERNAME_FILE" (printf "/etc/face-liveness-facade/shared-cache-auth/%s" .) -}}
{{- end -}}
{{- end -}}
{{- if or .ca.existingSecret .ca.existingConfigMap -}}
{{- $_ := set $variables "FACE_LIVENESS_SHARED_CACHE_CA" (printf "/etc/face-liveness-facade/shared-cache-ca/%s" .ca.key) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- with .Values.tracing.endpoint -}}
{{- $_ := set $variables "OTEL_EXPORTER_OTLP_ENDPOINT" . -}}
{{- end -}}
{{- range $name, $value := $variables }}
- name: {{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- if not (hasKey $variables "FACE_LIVENESS_QUOTA_REPLICAS") }}
- name: FACE_LIVENESS_QUOTA_REPLICAS
  valueFrom:
    configMapKeyRef:
      name: {{ include "face-liveness-facade.fullname" . }}-quota
      key: replicas
{{- end }}
{{- end -}}

{{- define "face-liveness-facade.env" -}}
{{- $own := print (include "face-liveness-facade.awsEnv" .) (include "face-liveness-facade.ownEnv" .) -}}
{{- $names := dict -}}
{{- range fromYamlArray $own }}{{ $_ := set $names .name true }}{{ end -}}
{{- range .Values.env }}
{{- if hasKey $names .name }}{{ fail (printf "env: the chart already sets %s: use config, aws or the value for it" .name) }}{{ end }}
{{- end }}
{{- trim $own }}
{{- with .Values.env }}
{{ toYaml . }}
{{- end }}
{{- end -}}
