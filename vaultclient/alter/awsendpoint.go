package alter

import "strings"

// awsEndpoint reads service and region out of a host of AWS: the host decides,
// for one credential may serve many. Empty when the host does not tell.
func awsEndpoint(host string) (service, region string) {
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	for _, suffix := range []string{".api.aws", ".api.amazonwebservices.com.cn"} {
		if name, ok := strings.CutSuffix(host, suffix); ok {
			if service, region = awsRegional(name); service == "" {
				service, region = awsGlobal(strings.TrimSuffix(name, ".global"), suffix != ".api.aws")
			}
			return service, region
		}
	}
	name, com := strings.CutSuffix(host, ".amazonaws.com")
	name, china := strings.CutSuffix(name, ".amazonaws.com.cn")
	switch {
	case !com && !china:
		return "", ""
	case com && strings.HasPrefix(name, "vpce-"):
		if _, name, ok := strings.Cut(name, "."); ok {
			if name, ok = strings.CutSuffix(name, ".vpce"); ok {
				return awsRegional(name)
			}
		}
	}
	if service, region = awsRegional(strings.TrimSuffix(name, ".dualstack")); service != "" {
		return service, region
	}
	last := name[strings.LastIndexByte(name, '.')+1:]
	if region, ok := strings.CutPrefix(last, "s3-"); ok && com && isAWSRegion(region) {
		return "s3", region
	}
	return awsGlobal(name, china)
}

// awsRegional reads "service.region".
func awsRegional(name string) (service, region string) {
	at := strings.LastIndexByte(name, '.')
	if at <= 0 || !isAWSRegion(name[at+1:]) {
		return "", ""
	}
	if service = awsSigningName(strings.TrimSuffix(name[:at], ".dualstack")); service != "" {
		region = name[at+1:]
	}
	return service, region
}

// isAWSRegion reports names such as eu-central-1 and us-gov-west-1.
func isAWSRegion(s string) bool {
	parts := strings.Split(s, "-")
	if len(parts) < 3 || len(parts[0]) != 2 || strings.Trim(parts[len(parts)-1], "0123456789") != "" {
		return false
	}
	for i, p := range parts {
		if p == "" || i == 0 && strings.ContainsAny(p, "0123456789") || !isAWSLabel(p) {
			return false
		}
	}
	return true
}

func isAWSLabel(s string) bool {
	return s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

// awsGlobal knows the hosts without a region. Others get none: that a service has
// such a host in one part of AWS says nothing of the other parts.
func awsGlobal(name string, china bool) (service, region string) {
	if last := name[strings.LastIndexByte(name, '.')+1:]; !china && (last == "s3" || last == "s3-external-1") {
		return "s3", "us-east-1"
	}
	name, gov := strings.CutSuffix(strings.TrimPrefix(name, "global."), ".us-gov")
	name = withoutFIPS(name)
	switch {
	case gov && china:
		return "", ""
	case gov:
		switch name {
		case "health", "iam", "route53":
			return name, "us-gov-west-1"
		}
		return "", ""
	case china:
		switch name {
		case "budgets", "health", "route53":
			return name, "cn-northwest-1"
		}
		return "", ""
	}
	switch name {
	case "importexport":
		return "IngestionService", "us-east-1"
	case "budgets", "cloudfront", "health", "iam", "route53", "savingsplans", "sts", "waf":
		return name, "us-east-1"
	}
	return "", ""
}

// withoutFIPS takes away what marks hosts whose cryptography is certified: they
// sign by the same name.
func withoutFIPS(name string) string {
	labels := strings.Split(strings.TrimPrefix(name, "fips."), ".")
	for i, label := range labels {
		labels[i] = strings.TrimSuffix(label, "-fips")
	}
	return strings.Join(labels, ".")
}

// awsSigningName is the name by which a service signs, given what stands before
// the region in its host. Empty: not known; a single label is a name unless it
// is known to have another, but what several mean can only be known.
func awsSigningName(prefix string) string {
	prefix = withoutFIPS(prefix)
	if at := strings.LastIndexByte(prefix, '.'); at > 0 {
		switch last := prefix[at+1:]; last {
		case "s3", "s3-control", "s3-accesspoint":
			return "s3" // before it stands a bucket, an account, or an access point
		case "execute-api":
			return last // before it stands the API
		}
	}
	if name := awsOtherName(prefix); name != "" {
		return name
	}
	if !isAWSLabel(prefix) {
		return ""
	}
	return prefix
}

// awsOtherName is the signing name of a host that is called otherwise, as AWS's
// lists of endpoints have it.
func awsOtherName(prefix string) string {
	at := strings.LastIndexAny(prefix, ".-")
	switch first, last := prefix[:max(at, 0)], prefix[at+1:]; last {
	case "marketplace":
		return "aws-marketplace"
	case "chime":
		return last // such as meetings-chime
	case "lex", "sagemaker", "timestream":
		if first != "" { // such as runtime.sagemaker
			return last
		}
	case "geo":
		if first != "" { // such as maps.geo
			return "geo-" + first
		}
	case "iot":
		return awsIoTName(first)
	}
	if name, ok := strings.CutPrefix(prefix, "api."); ok && isAWSLabel(name) && name != "iot-tunneling" {
		return name
	}
	return awsOddName(prefix)
}

// awsIoTName is the signing name of a part of IoT.
func awsIoTName(part string) string {
	switch part {
	case "data", "data-ats", "data.ats":
		return "iotdata"
	case "data.jobs":
		return "iot-jobs-data"
	case "greengrass-ats":
		return "greengrass"
	case "api.tunneling":
		return "IoTSecuredTunneling"
	}
	return ""
}

// awsOddName knows the names that follow no rule.
func awsOddName(prefix string) string {
	switch prefix {
	case "admin.wickr":
		return "wickr"
	case "aos":
		return "es"
	case "api.iot-tunneling":
		return "IoTSecuredTunneling"
	case "bedrock-agent", "bedrock-agent-runtime", "bedrock-data-automation",
		"bedrock-data-automation-runtime", "bedrock-runtime":
		return "bedrock"
	case "cloudsearchdomain":
		return "cloudsearch"
	case "cn.transcribe":
		return "transcribe"
	case "contact-lens":
		return "connect"
	case "controlplane.payment-cryptography", "dataplane.payment-cryptography":
		return "payment-cryptography"
	case "data.iottwinmaker", "data.mediastore", "data.qapps":
		return strings.TrimPrefix(prefix, "data.")
	case "data.iotevents":
		return "ioteventsdata"
	case "efs":
		return "elasticfilesystem"
	case "email", "mail-manager":
		return "ses"
	case "iam-toolbox":
		return "iam"
	case "participant.connect":
		return "execute-api"
	case "s3-control":
		return "s3"
	case "sms-voice.pinpoint":
		return "sms-voice"
	case "streams-dynamodb", "streams.dynamodb":
		return "dynamodb"
	case "timestream-ingest", "timestream-query":
		return "timestream"
	case "data-signer", "verification.signer":
		return "signer"
	}
	return awsRenamed(prefix)
}

// awsRenamed knows the hosts of one label that have another name throughout.
func awsRenamed(label string) string {
	switch label {
	case "account-access-runtime":
		return "account-access"
	case "agent-registry-control":
		return "agent-registry"
	case "appconfigdata":
		return "appconfig"
	case "appstream2":
		return "appstream"
	case "arc-recovery-control-config":
		return "route53-recovery-control-config"
	case "bedrock-agentcore-control":
		return "bedrock-agentcore"
	case "cassandra-streams":
		return "cassandra"
	case "cloudhsmv2":
		return "cloudhsm"
	case "cloudwatch-omni":
		return "cloudwatch"
	case "eventsv2":
		return "events"
	case "forecastquery":
		return "forecast"
	case "ivsrealtime":
		return "ivs"
	case "kafka-api":
		return "kafka"
	case "kinesis-queues":
		return "kinesis"
	case "memory-db":
		return "memorydb"
	case "migrationhub-config":
		return "mgh"
	case "mturk-requester-sandbox":
		return "mturk-requester"
	case "oidc":
		return "sso-oauth"
	case "personalize-events", "personalize-runtime":
		return "personalize"
	case "pinpoint":
		return "mobiletargeting"
	case "portal.sso":
		return "awsssoportal"
	case "servicecatalog-appregistry":
		return "servicecatalog"
	}
	return ""
}
