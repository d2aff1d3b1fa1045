"""Deployment of the cloud stage: into AWS, or into an AWS that runs on this machine.

package     the functions' code as zips
template    the SAM template, read and expanded
stack       packages and template -> a CloudFormation stack in an AWS account
local       a whole local AWS: moto's services over HTTP, the template deployed into it, functions, queues
runtime     functions in the real Lambda runtime, each in a process of its own
detect      Rekognition's DetectFaces for the local AWS, and what answers it
dashboard   a page that shows the emotion lines, counts and newest crops

Needs the extra `saccade-engine[cloud-local]`.
"""
