"""The cloud stage: what happens to a face crop after it has left the device.

events      what S3, SQS and EventBridge send, as `StoredPicture`s
emotions    a crop -> Rekognition -> DynamoDB rows and CloudWatch data points
facezip     a photo -> Rekognition -> its faces, sorted by emotion, in a zip
upload      a file object that streams into S3 as a multipart upload
aws         clients: one session, made once, with time limits and retries

It runs in small functions: botocore and Pillow are all it imports, so that a function starts in a quarter of a
second and its package stays small.
"""
