"""What a file is and how it is laid out, from its bytes alone; Pillow is asked afterwards.

bytes ─► envelope ─► kinds ─► signatures, brands, texts, tiff, tga: what the file is, decoded or not
              └─► av1, jpeg, jpeg2000, png, tiff, webp: what Pillow does not tell of a file that is decoded
"""
