"""The function in Python, as one writes it on the first day: boto3's defaults, its client made in INIT."""

from typing import Any

import boto3

LIGHTSAIL = boto3.client("lightsail")


def handler(event: dict[str, Any], _context: object) -> int:
    """Deletes the key that the finding names; proves nothing."""
    resource = event["detail"]["resource"]
    deleted = LIGHTSAIL.delete_bucket_access_key(
        accessKeyId=resource["accessKeyDetails"]["accessKeyId"], bucketName=resource["s3BucketDetails"][0]["name"]
    )
    return len(deleted["operations"])
