"""Where bytes live: objects (local disk or S3) and durable, appendable staging."""
