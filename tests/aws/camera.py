"""Records the final results of checks with a camera, whose session ids the operator passes."""

import struct
import time

from contract import pb


def read(recording, name, session_id):
    """Waits for the final result through the service, reads it directly too, and returns AWS's response."""
    until = time.monotonic() + recording.lifetime
    while True:
        called = recording.service.read(session_id, wait={"seconds": 40}, view=pb.RESULT_VIEW_FULL)
        if called.is_end or time.monotonic() > until:
            break
    direct = recording.rekognition.read(session_id)
    recording.note(name, direct)
    recording.rows[f"{name}, service"] = str(called)
    if called.message and direct.status == 200:
        pairs = both(called.message.result, direct.body)
        recording.rows[f"{name}: differs in"] = ", ".join(name for name, (ours, theirs) in pairs.items() if ours != theirs) or "nothing"
    return direct


def both(result, body):
    """Returns pairs of the service's value and AWS's value."""
    images, aws_images = [result.reference_image, *result.audit_images], [body.get("ReferenceImage", {}), *body.get("AuditImages", [])]
    confidence = result.confidence if result.HasField("confidence") else None
    # The AWS SDK of the service reads a 32-bit float.
    aws_confidence = struct.unpack("f", struct.pack("f", body["Confidence"]))[0] if "Confidence" in body else None
    return {
        "status": (pb.LivenessStatus.Name(result.status), f"LIVENESS_STATUS_{body['Status']}"),
        "confidence": (confidence, aws_confidence),
        "images": ([image.content for image in images], [image.get("Bytes", b"") for image in aws_images]),
        "S3 keys": ([image.s3_object.name for image in images], [image.get("S3Object", {}).get("Name", "") for image in aws_images]),
        "challenge": (result.challenge.type, body.get("Challenge", {}).get("Type", "")),
        "feedback": ([item.code for item in result.feedback], [item["Code"] for item in body.get("Feedback", [])]),
    }


STATUSES = ("CREATED", "IN_PROGRESS", "SUCCEEDED", "FAILED", "EXPIRED")


def place(simulator, session_id, body):
    """Places a session like AWS's in the simulator, for a comparison of its members."""
    image = body.get("ReferenceImage", {})
    stored = {"s3": {"bucket": "acceptance"} | ({"version": "v"} if "Version" in image["S3Object"] else {})} if "S3Object" in image else None
    simulator.place(
        session_id,
        pace={"frozen": body["Status"] if body["Status"] in STATUSES else {"other": {"status": body["Status"]}}},
        audit_images=len(body.get("AuditImages", [])),
        images=stored or ("inline" if image else "none"),
        feedback=[{"code": item["Code"], "message": "acceptance"} for item in body.get("Feedback", [])],
    )
